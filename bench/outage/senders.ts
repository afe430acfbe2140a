/**
 * Programs that push to one buffer at a steady rate, and what they were told of each push. One that is held makes up
 * for nothing: it pushes its next entries when the last ones are settled. A refused entry is not pushed again, so that
 * its numbers say whether that was true. Used by the scenario `outage`.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { BufferHandle } from '../../client/buffer/handle';
import { BufferFullError, PushUnansweredError } from '../../client/errors';
import { shardOfKey } from '../../activities/buffer/keys';
import { keyText } from '../../workflows/buffer/keys';
import { SHARDS, type Entry } from './definition';

const SENDERS = 10;
/** Entries of a push: one message. */
const ENTRIES = 100;
export const ENTRY_BYTES = 1_000;
const EVERY_MS = 1_000;
/** All of them together: 1 MB/s. */
export const BYTES_A_SECOND = (SENDERS * ENTRIES * ENTRY_BYTES * 1_000) / EVERY_MS;
/** The time that a sender gives a push. Milliseconds. */
export const TIMEOUT_MS = 5_000;

export type Told = 'accepted' | 'refused' | 'unknown' | 'error';

export interface Push {
  first: number;
  count: number;
  /** Epoch milliseconds. */
  beganAt: number;
  settledAt: number;
  told: Told;
  error?: string;
}

export class Senders {
  readonly pushes: Push[] = [];
  private next = 0;
  private stopped = false;
  private readonly running: Promise<void>[];

  constructor(private readonly buffer: BufferHandle) {
    this.running = Array.from({ length: SENDERS }, (_, sender) => this.send(sender));
  }

  /** Resolves when the pushes that are under way are settled. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.running);
  }

  /** Entries whose senders were told so in this time. Epoch milliseconds. */
  count(told: Told, since = 0, until = Infinity): number {
    const those = this.pushes.filter((push) => push.told === told && push.settledAt >= since && push.settledAt < until);
    return those.reduce((sum, { count }) => sum + count, 0);
  }

  /** The entries that these were: a first number and how many, each. */
  ranges(told: Told): [number, number][] {
    return this.pushes.filter((push) => push.told === told).map(({ first, count }) => [first, count]);
  }

  private async send(sender: number): Promise<void> {
    let due = performance.now() + (sender * EVERY_MS) / SENDERS;
    while (!this.stopped) {
      await delay(Math.max(0, due - performance.now()));
      due = Math.max(due + EVERY_MS, performance.now());
      await this.push(sender % SHARDS);
    }
  }

  private async push(shard: number): Promise<void> {
    const first = this.next;
    this.next += ENTRIES;
    const entries = Array.from({ length: ENTRIES }, (_, i) => entryFor(first + i, shard));
    const beganAt = Date.now();
    const { told, error } = await this.buffer.push(entries, { timeoutMs: TIMEOUT_MS }).then(
      () => ({ told: 'accepted' as const, error: undefined }),
      (thrown: unknown) => ({ told: toldBy(thrown), error: String(thrown) }),
    );
    this.pushes.push({ first, count: ENTRIES, beganAt, settledAt: Date.now(), told, error });
  }
}

function toldBy(error: unknown): Told {
  if (error instanceof BufferFullError) return 'refused';
  return error instanceof PushUnansweredError ? 'unknown' : 'error';
}

/** With a key of this shard: a push is one message then, accepted as a whole or not at all. */
function entryFor(n: number, shard: number): Entry {
  let id = `${n}`;
  for (let salt = 1; shardOfKey(keyText(id)!, SHARDS) !== shard; salt++) id = `${n}.${salt}`;
  const bare = JSON.stringify({ n, id, pad: '' }).length + 1;
  return { n, id, pad: 'x'.repeat(ENTRY_BYTES - bare) };
}
