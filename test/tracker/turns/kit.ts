/**
 * A node's turns over pools on a real PostgreSQL, without workers: real shifts that hold their fences, real commits,
 * and a sender that writes mail. The database starts where this is imported; each test begins without trackers and
 * mail.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Database, VALUES_LIMITS } from '../../../activities/lib/database';
import { setPointHook } from '../../../activities/lib/points';
import { Clock } from '../../../activities/tracker/shift/clock';
import { Flush } from '../../../activities/tracker/shift/flush';
import type { FlushHost } from '../../../activities/tracker/shift/portion';
import { MEMBER, type MemberLimits } from '../../../activities/tracker/member/constants';
import type { EndedTurn } from '../../../activities/tracker/member/ended';
import { Lane } from '../../../activities/tracker/turns/lane';
import { NodeTurns, type NodeTurnsSetup } from '../../../activities/tracker/turns/node-turns';
import { takeFence } from '../../../activities/tracker/store/fence';
import { insertMail, type NewMail } from '../../../activities/tracker/store/mail';
import { findStruck } from '../../../activities/tracker/store/strikes';
import type { LifeDefinition } from '../../../config/define/member';
import type { TrackerDefinition } from '../../../config/define/tracker';
import { slotsOf } from '../../../workflows/tracker/slots';
import { Stack } from '../../support/stack';
import { rowOf, shiftOf, type Kit } from '../shift-kit';

const log = pino({ level: process.env.LONGWATCH_TEST_LOG ?? 'silent' });
export let stack: Stack;
export let database: Database;
let values: Database;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log });
  values = new Database({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS, connections: 1 });
});
afterAll(async () => {
  await database?.close();
  await values?.close();
  await stack?.close();
});
beforeEach(async () => {
  await stack.sql('delete from longwatch.tracker');
  await stack.sql('truncate longwatch.mail');
});
afterEach(async () => {
  setPointHook(undefined);
  for (const close of closing.splice(0).reverse()) await close();
});

export interface TurnsNode {
  readonly turns: NodeTurns;
  readonly kit: Kit;
  readonly ended: EndedTurn[];
  readonly errors: { id: string; error: Error }[];
  /** The commits of it, by the number of turns. */
  readonly commits: number[];
}

export function trackerOf(life: LifeDefinition, more: Partial<TrackerDefinition> = {}): TrackerDefinition {
  return { name: 't', operations: {}, ...life, ...more };
}

let shifts = 0;

/** A node that keeps a pool of this tracker, the only one as a rule. The tracker is made, if it is not there. */
export async function nodeOf(
  definition: TrackerDefinition,
  more: {
    limits?: Partial<MemberLimits>;
    node?: string;
    setup?: Partial<NodeTurnsSetup>;
    /** The pool, and how many there are. */
    layout?: { pool: number; pools: number };
  } = {},
): Promise<TurnsNode> {
  const row = rowOf(definition);
  await stack.sql(
    `insert into longwatch.tracker (name, options, pools) values ($1, $2, 1) on conflict (name) do update set options = excluded.options`,
    [row.name, JSON.stringify(row.options)],
  );
  const node = more.node ?? 'node';
  const { pool, pools } = more.layout ?? { pool: 0, pools: 1 };
  const claim = { tracker: row.name, pool, runId: 'run', shift: ++shifts, attempt: 1, node };
  const fence = await takeFence(database, claim, () => Promise.resolve(true));
  const kit = shiftOf(definition, { pool, claim, token: fence.token });
  kit.shift.rosterVersion = fence.rosterVersion;
  const found: Pick<TurnsNode, 'ended' | 'errors' | 'commits'> = { ended: [], errors: [], commits: [] };
  const turns = new NodeTurns({
    node,
    clock: new Clock(),
    log,
    database,
    values,
    lane: new Lane(),
    definitions: [definition],
    nodeConcurrency: 1_000,
    events: {
      ended: (_tracker, turn) => found.ended.push(turn),
      redirected: () => undefined,
      loaded: () => undefined,
      committed: (count) => found.commits.push(count),
    },
    entering: () => undefined,
    onError: (error, _pool, id) => found.errors.push({ id, error }),
    fenced: () => undefined,
    hintValues: () => undefined,
    limits: { ...MEMBER, ...more.limits },
    ...more.setup,
  });
  await turns.start();
  const slots = slotsOf(pool, pools);
  turns.keep(kit.shift, slots, await findStruck(database.single, claim, slots));
  closing.push(async () => {
    await turns.leave(kit.shift, false);
    await turns.stop();
  });
  return { turns, kit, ...found };
}

/** Writes what there is and takes in what has changed, as the node's flush does. */
export const flush = ({ kit: { shift, host } }: Pick<TurnsNode, 'kit'>, more: Partial<FlushHost> = {}) =>
  new Flush(database, {
    shifts: new Set([shift]),
    trackers: new Map(),
    clock: host.clock,
    log: shift.log,
    fenced: () => undefined,
    onError: () => undefined,
    ...more,
  }).run([shift]);

let numbers = 0;

/** A sender's letters, told in one batch; numbered, each after the one before. */
export async function send(messages: [member: string, message: unknown, more?: Partial<NewMail>][], from = 's') {
  const batch = messages.map(([member, message, more]): NewMail => {
    const json = JSON.stringify(message);
    return { member, from, json, bytes: json.length, toldAt: Date.now(), number: ++numbers, ...more };
  });
  const { admissions } = await insertMail(database.single, 't', batch);
  return admissions;
}

export const stateOf = async (id: string): Promise<unknown> => {
  const [row] = await stack.sql<{ state: string | null }>(`select state from longwatch.life where id = $1`, [id]);
  return row?.state == null ? undefined : (JSON.parse(row.state) as unknown);
};
export const replyTo = async (request: string) =>
  (
    await stack.sql<{ json: string | null; error: string | null; message: string | null }>(
      `select json, error, message from longwatch.reply where request = $1`,
      [request],
    )
  )[0];
export const mailCount = async (): Promise<number> =>
  (await stack.sql<{ count: number }>(`select count(*)::int as count from longwatch.mail`))[0]!.count;

/** Waits until it is so: asked each few milliseconds, for as long as the test runs. */
export async function becomes<T>(ask: () => Promise<T> | T, is: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (is(value)) return value;
    await delay(5);
  }
}

/** All mail that is there has been handled. */
export const handled = (): Promise<number> => becomes(mailCount, (count) => count === 0);
