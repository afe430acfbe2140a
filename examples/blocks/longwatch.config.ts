/**
 * The example's config: a tracker that follows the head, a buffer that indexes blocks, and one that indexes their
 * receipts and logs. Their work is in `index/`; this file says how it is run.
 */
import { defineBuffer, defineConfig, defineTracker, retry, type InitPage, type Json } from 'longwatch';
import type { Failure, IndexedBlocks } from './index/blocks';
import type { Page } from './index/missing';
import { holdWhileAway } from './rpc/away';
import { services } from './services';

export { dev } from './dev';

/** A block that is to be indexed, or to be looked at again; in `receipts`: one that is stored, without its receipts. */
export type Wanted = { number: number };

/** Half an hour, at the end of which something is wrong with the entry itself: a node that is away uses no attempt. */
const PATIENCE = { attempts: 40, base: '500ms', cap: '1m' };

const OF_ANOTHER_BLOCK =
  'the node has the receipts of another block of this number, and that block is not on its chain';

export const receipts = defineBuffer({
  name: 'receipts',
  key: 'number',
  shards: 1,
  maxConcurrency: 2,
  poll: '10s',
  // One push has as many entries as a batch of blocks: more would not come at once.
  flushInterval: '0s',
  retry: PATIENCE,
  /** The receipts that were not pushed because their worker died: the block's own transaction has noted them. */
  async init({ cursor, limit }) {
    return wantedPage(await services().missing.receipts(cursor as number | undefined, limit));
  },
  async run(entries: Wanted[], { signal, log }) {
    const { changed, failed } = await holdWhileAway(services().receipts.index(numbersOf(entries), signal));
    const again = retry<Wanted, Json>(wanted(failed), { reason: failed[0]?.error.message });
    if (changed.length === 0) return again;
    // The chain is another one than the tables have: its blocks come first.
    const blocks = await holdWhileAway(services().blocks.index(changed, signal));
    tell(log, blocks);
    // A block that came anew has receipts of its own. One that is the same as before has failed: its node keeps to
    // another chain.
    const anew = new Set(blocks.written);
    const [fresh, same] = [blocks.awaiting.filter((n) => anew.has(n)), blocks.awaiting.filter((n) => !anew.has(n))];
    return [
      again,
      retry<Wanted, Json>(fresh.map(want), { after: '1s' }),
      retry<Wanted, Json>(same.map(want), same.length > 0 ? { reason: OF_ANOTHER_BLOCK } : {}),
    ];
  },
});

export const blocks = defineBuffer({
  name: 'blocks',
  key: 'number',
  shards: 1,
  maxConcurrency: 2,
  poll: '10s',
  retry: PATIENCE,
  async init({ cursor, limit, signal }) {
    return wantedPage(await services().missing.blocks(cursor as number | undefined, limit, signal));
  },
  async run(entries: Wanted[], { signal, log }) {
    const done = await holdWhileAway(services().blocks.index(numbersOf(entries), signal));
    tell(log, done);
    if (done.awaiting.length > 0) {
      const longwatch = await services().longwatch();
      await longwatch
        .buffer(receipts)
        .push(done.awaiting.map(want))
        .catch((error: unknown) => log.warn({ err: error }, 'receipts were not pushed: their buffer will find them'));
    }
    return retry<Wanted, Json>(wanted(done.failed), { reason: done.failed[0]?.error.message });
  },
});

const head = defineTracker({
  name: 'chain',
  operations: {
    head: {
      every: '1s',
      timeout: '10s',
      stagger: { window: '0s' },
      async run({ signal }) {
        const look = await services().head.look(signal);
        if (look.wanted.length > 0) {
          const longwatch = await services().longwatch();
          // Before what is still to come of the past.
          await longwatch.buffer(blocks).push(look.wanted.map(want), { front: true });
        }
        return { value: { number: look.number, hash: look.hash } };
      },
    },
  },
});

function want(number: number): Wanted {
  return { number };
}

function numbersOf(entries: readonly Wanted[]): number[] {
  return entries.map(({ number }) => number);
}

function wanted(failed: readonly Failure[]): Wanted[] {
  return [...new Set(failed.map(({ number }) => number))].map(want);
}

function wantedPage({ entries, cursor }: Page): InitPage<Wanted> {
  return { entries: entries.map(want), cursor };
}

function tell(log: { info: (fields: object, message: string) => void }, { replaced, removed }: IndexedBlocks): void {
  if (replaced.length > 0) log.info({ blocks: replaced }, 'the chain was reorganised: blocks were replaced');
  if (removed.length > 0) log.info({ blocks: removed }, 'the chain became shorter: blocks were removed');
}

export default defineConfig({ trackers: [head], buffers: [receipts, blocks] });
