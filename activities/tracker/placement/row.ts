/**
 * The things that a node writes about itself each second, as JSON beside the other columns of its row, and reads of the
 * others. Written and read by `placer.ts`; `view.ts` makes a picture of the cluster from it.
 *
 * A row may come from another release, or from a person in psql. So it is read with care: a field that is missing has
 * the value that does least, and a row that is not one is left out, for it must not stop the placement of everybody
 * else.
 */
import { isObject } from '../../../workflows/lib/json';

/** A pool on its way, in the row of the node that has sent it. */
export interface HandOver {
  readonly pool: string;
  readonly to: string;
  readonly size: number;
  readonly kind: string;
  /** When its shift ended there; while it is still ending, when the row was written. */
  readonly sentAt: number;
}

/** An ask, in the row of the node that is short. */
export interface WrittenAsk {
  /** Another one than that of each earlier ask of a node of this name: greater, unless a clock went back. */
  readonly id: number;
  readonly from: Readonly<Record<string, number>>;
  readonly deep: boolean;
}

/** The things that a node writes about itself each second, as JSON. */
export interface WrittenRow {
  readonly name: string;
  readonly load: number;
  readonly shifts: number;
  readonly loads: Readonly<Record<string, number>>;
  readonly largest: { readonly size: number; readonly kind: string } | null;
  readonly weight: number;
  /** null: no limit, as JSON has no Infinity. */
  readonly places: number | null;
  readonly loadLimit: number | null;
  readonly keeps: readonly string[];
  readonly up: boolean;
  readonly hot: boolean;
  /** It cannot reach Temporal. */
  readonly cutOff: boolean;
  readonly out: readonly HandOver[];
  readonly ask: WrittenAsk | null;
  /** The rest of the ask, by the node that was asked. */
  readonly wants: Readonly<Record<string, number>>;
  /** Asks of others for which this node has nothing (more): by the asker, the ask's id. */
  readonly done: Readonly<Record<string, number>>;
  /**
   * By tracker whose members receive there: the newest version of a state that its code reads. Absent: it does not say.
   */
  readonly reads?: Readonly<Record<string, number>>;
  /** The same: the version that its code writes. Its pools have such states, as far as others know. */
  readonly writes?: Readonly<Record<string, number>>;
}

/** The same with the time at which PostgreSQL wrote it: epoch milliseconds by its clock, or by that of who reads it. */
export interface PlacementRow extends WrittenRow {
  readonly at: number;
}

/**
 * The same row with all its times by another clock: between the database, whose clock may be another one after a
 * failover, and the memory of a node, whose clock never jumps.
 */
export function retimed<R extends WrittenRow & { readonly at?: number }>(row: R, by: (ms: number) => number): R {
  const out = row.out.map((sent) => ({ ...sent, sentAt: by(sent.sentAt) }));
  return { ...row, out, ...(row.at !== undefined && { at: by(row.at) }) };
}

/** More of a list than this is not read: nobody has as many pools on their way, or as many peers. */
const MOST = 10_000;

/**
 * @param value the JSON of the row
 * @param at when PostgreSQL wrote it, epoch milliseconds
 * @returns undefined: it is not a row, and its node is not seen
 */
export function readRow(value: unknown, at: number): PlacementRow | undefined {
  if (!isObject(value) || typeof value.name !== 'string' || value.name === '' || !Number.isFinite(at)) return undefined;
  const { load, shifts, weight } = value;
  if (!isAmount(load) || !isAmount(shifts) || !isAmount(weight) || weight === 0) return undefined;
  const largest = isObject(value.largest) ? value.largest : {};
  const ask = isObject(value.ask) ? value.ask : {};
  return {
    name: value.name,
    at,
    load,
    shifts,
    weight,
    loads: amounts(value.loads),
    largest:
      isAmount(largest.size) && typeof largest.kind === 'string' ? { size: largest.size, kind: largest.kind } : null,
    places: isAmount(value.places) ? value.places : null,
    loadLimit: isAmount(value.loadLimit) ? value.loadLimit : null,
    keeps: list(value.keeps).filter((kind) => typeof kind === 'string'),
    up: value.up === true,
    hot: value.hot === true,
    cutOff: value.cutOff === true,
    out: list(value.out).flatMap(handOver),
    ask: isAmount(ask.id) ? { id: ask.id, from: amounts(ask.from), deep: ask.deep === true } : null,
    wants: amounts(value.wants),
    done: amounts(value.done),
    ...(isObject(value.reads) && { reads: amounts(value.reads) }),
    ...(isObject(value.writes) && { writes: amounts(value.writes) }),
  };
}

function handOver(value: unknown): HandOver[] {
  if (!isObject(value)) return [];
  const { pool, to, size, kind, sentAt } = value;
  if (typeof pool !== 'string' || typeof to !== 'string' || typeof kind !== 'string') return [];
  return isAmount(size) && isAmount(sentAt) ? [{ pool, to, size, kind, sentAt }] : [];
}

function amounts(value: unknown): Record<string, number> {
  if (!isObject(value)) return {};
  const sane = Object.entries(value).slice(0, MOST);
  return Object.fromEntries(sane.filter((entry): entry is [string, number] => isAmount(entry[1])));
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, MOST) : [];
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
