/**
 * A program that sends, in a process of its own: requests and messages to the rooms of `members.config.ts`, by the
 * library, as a user's program does. Called by `bench/scenarios/members/`.
 */
import { connect, type Longwatch } from '../../exports';
import { serve } from '../harness/child';
import type { rooms } from './members.config';
import { zipf } from './zipf';

/** More than can be handled may be sent: it waits, and that is what is measured. */
const PATIENCE = '5m';

export interface SendPlan {
  members: number;
  /** The n-th member has the n-th part of what the first one has (Zipf, 1.0). Else all have the same. */
  zipf: boolean;
  seconds: number;
  /** Under way at once. */
  atOnce: number;
  /** Undefined: as many as it can. */
  perSecond?: number;
  /** Each so-many-th is a request, the others are messages. 1: all are requests. */
  requestEvery: number;
}

export interface Sent {
  count: number;
  seconds: number;
  /** When each request was sent, from the beginning, and how long its answer took. Milliseconds. */
  requests: { at: number; ms: number }[];
  failures: string[];
}

let longwatch: Longwatch;

async function start(address: string, namespace: string, databaseUrl: string): Promise<void> {
  longwatch = await connect({ environment: { temporal: { address, namespace }, databaseUrl } });
}

async function run(plan: SendPlan): Promise<Sent> {
  const sent: Sent = { count: 0, seconds: 0, requests: [], failures: [] };
  const draw = plan.zipf ? zipf(plan.members) : () => Math.floor(Math.random() * plan.members);
  const began = performance.now();
  const end = began + plan.seconds * 1_000;
  let number = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      const nth = number++;
      const early = plan.perSecond === undefined ? 0 : began + (nth * 1_000) / plan.perSecond - performance.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      await one(sent, draw(), nth % plan.requestEvery === 0, began);
    }
  };
  await Promise.all(Array.from({ length: plan.atOnce }, lane));
  sent.seconds = (performance.now() - began) / 1_000;
  return sent;
}

/** One message to each member of a range, for those that are made by it. */
async function spawn(first: number, last: number): Promise<void> {
  let next = first;
  const lane = async (): Promise<void> => {
    while (next < last) await roomOf(next++).send({ say: 'first' }, { timeout: '5m' });
  };
  await Promise.all(Array.from({ length: 2_000 }, lane));
}

async function one(sent: Sent, member: number, isRequest: boolean, began: number): Promise<void> {
  const at = performance.now();
  try {
    if (isRequest) {
      await roomOf(member).request({ say: 'word' }, { timeout: PATIENCE });
      sent.requests.push({ at: at - began, ms: performance.now() - at });
    } else {
      await roomOf(member).send({ say: 'word' }, { timeout: PATIENCE });
    }
    sent.count++;
  } catch (error) {
    if (sent.failures.length < 5) sent.failures.push((error as Error).message);
  }
}

const roomOf = (number: number) => longwatch.tracker<typeof rooms>('rooms').member(`room-${number}`);

serve({ start, run, spawn, close: () => longwatch.close() });
