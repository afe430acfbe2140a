/** The part of `status` about buffers: the counts of their shards added up, and whether the law of the counts holds. */
import type { BufferRunState, Counts, ShardStatus } from '../../workflows/buffer/contract';
import type { Connections } from '../connections';
import { STATUS_BUFFERS } from './queries';

export interface BufferSummary extends Counts {
  name: string;
  state: BufferRunState;
  /** accepted = done + pending + running + dead + merged + dropped. */
  balanced: boolean;
  /** The pending ones are in memory, in PostgreSQL, or put off. */
  inMemory: number;
  stored: number;
  putOff: number;
  batches: number;
  spilling: boolean;
  /** Shards that their node has asked to keep little in memory. */
  shrunk: number;
  lastError: string | null;
  /** How old the counts are; 0: of this moment. */
  ageMs: number;
  shards: ShardStatus[];
}

export function summarize(name: string, state: BufferRunState, shards: ShardStatus[], ageMs: number): BufferSummary {
  const sum = (pick: (shard: ShardStatus) => number): number => shards.reduce((all, shard) => all + pick(shard), 0);
  const counts: Counts = {
    accepted: sum((shard) => shard.accepted),
    done: sum((shard) => shard.done),
    pending: sum((shard) => shard.pending),
    running: sum((shard) => shard.running),
    dead: sum((shard) => shard.dead),
    merged: sum((shard) => shard.merged),
    dropped: sum((shard) => shard.dropped),
  };
  const { accepted, done, pending, running, dead, merged, dropped } = counts;
  return {
    name,
    state,
    ...counts,
    balanced: accepted === done + pending + running + dead + merged + dropped,
    inMemory: sum((shard) => shard.inMemory),
    stored: sum((shard) => shard.stored),
    putOff: sum((shard) => shard.putOff),
    batches: sum((shard) => shard.batches),
    spilling: shards.some((shard) => shard.spilling),
    shrunk: shards.filter((shard) => shard.shrunk).length,
    lastError: shards.map((shard) => shard.lastError).find((error) => error !== null) ?? null,
    ageMs,
    shards,
  };
}

interface Row {
  [column: string]: unknown;
  name: string;
  state: BufferRunState;
  shards: ShardStatus[] | null;
  age_ms: number | null;
}

/** As the shards last reported, which is half a second ago at most while anything happens: from PostgreSQL alone. */
export async function readBuffers(connections: Connections): Promise<BufferSummary[]> {
  const rows = await connections.rows<Row>(STATUS_BUFFERS);
  return rows.map((row) =>
    summarize(row.name, row.state, row.shards ?? [], row.state === 'stopped' ? 0 : (row.age_ms ?? 0)),
  );
}
