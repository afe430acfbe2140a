/**
 * The turns of a node, where its config has a tracker whose members receive: from the node's parts to what
 * `node-turns.ts` needs. Called by `shift/node.ts`.
 */
import type { BufferFeed } from '../../buffer/feed';
import type { Queryable } from '../../lib/database';
import type { ErrorContext, TrackerDefinition } from '../../../config/define/tracker';
import type { Json } from '../../../workflows/lib/json';
import type { Clock } from '../shift/clock';
import type { PoolShift } from '../shift/pool-shift';
import type { Pushed } from '../member/types';
import type { NodeOptions } from '../shift/node-options';
import type { Pushes } from './committer';
import type { Pushable } from './context';
import type { Lane } from './lane';
import { NodeTurns } from './node-turns';

/** The parts of a node that its turns need. */
export interface TurningNode {
  readonly clock: Clock;
  readonly lane: Lane;
  readonly writer: { hint(): void };
  fenced(shift: PoolShift): void;
  report(error: Error, context: ErrorContext, definition: TrackerDefinition): void;
}

/** Undefined: no tracker of the config receives, so nothing listens and nothing is read. */
export function turnsOf(options: NodeOptions, node: TurningNode): NodeTurns | undefined {
  const {
    trackers,
    row,
    log,
    database,
    values = database,
    nodeConcurrency,
    watchdog,
    newFeed,
    handlers,
    metrics,
  } = options;
  if (!trackers.some(({ receive }) => receive !== undefined)) return undefined;
  return new NodeTurns({
    node: row.name,
    clock: node.clock,
    lane: node.lane,
    log,
    database,
    values,
    definitions: trackers,
    nodeConcurrency,
    buffers: newFeed && feedOf(newFeed()),
    newPushes: () => newFeed && feedOf(newFeed()),
    handlers,
    events: metrics.turns,
    entering: ({ tracker, name }) => watchdog?.entering(tracker, name),
    onError: (error, { shift, code }, id) => {
      const { tracker, pool } = shift.claim;
      shift.log.debug({ err: error, id }, 'a turn failed');
      node.report(error, { tracker, pool, id, node: row.name }, code.definition);
    },
    fenced: (shift) => node.fenced(shift),
    hintValues: () => node.writer.hint(),
  });
}

/** A buffer's feed, for the entries that handlers push. */
function feedOf(feed: BufferFeed): Pushable & Pushes {
  return {
    has: (buffer) => feed.has(buffer),
    keyOf: (buffer, entry) => feed.keyOf(buffer, entry),
    store: (db: Queryable, entries: readonly Pushed[]) =>
      feed.store(
        db,
        entries.map(({ buffer, json }) => {
          const value = JSON.parse(json) as Json;
          return { buffer, value, key: feed.keyOf(buffer, value) };
        }),
      ),
    committed: () => void feed.committed(),
    rolledBack: () => feed.rolledBack(),
  };
}
