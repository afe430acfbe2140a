/**
 * How a node does, as JSON in the column `use` of its row: for people (`longwatch nodes`), for `verdict.ts` and for
 * `longwatch_wanted_nodes`; placement does not read it. Written each second by the node (`shift/attendance.ts`).
 *
 * A row may come from another release, or from a person in psql, so it is read with care: what is missing is null, or
 * nothing.
 */
import { isObject } from '../../../workflows/lib/json';

/** The figures of the last minute. */
export interface LastMinute {
  /** How late runs started: 99 of 100 were earlier, milliseconds. null: none ran. */
  readonly lateMs: number | null;
  readonly fetched: number;
  readonly failed: number;
  /** Shifts that began here after an attempt that had failed, or was not heard of any more. */
  readonly restarts: number;
  /** Pools that were offered, and that no node that lives may keep. */
  readonly declined: number;
  /** Pools that were offered and handed on to another node. */
  readonly redirected: number;
  /** Pools that it kept and gave to another node. */
  readonly moved: number;
  /** Shifts whose pool a newer holder has taken. */
  readonly fenced: number;
}

export interface NodeFigures {
  /** The part of the last second in which the event loop ran code, 0 to 1. */
  readonly eventLoop: number;
  /** How late it ran in the last second, at most. Milliseconds. */
  readonly lagMs: number;
  /** Processor cores in use. */
  readonly cpu: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly heapLimitBytes: number;
  readonly members: number;
  /** Load units; what it would have if pools could be divided. null: not known yet. */
  readonly share: number | null;
  /** Both scale its weight (`placement/health.ts`), above 0, at most 1. */
  readonly health: number;
  readonly trust: number;
  /** Since when its results could not be written, or Temporal not be reached. Milliseconds; null: they can. */
  readonly storeRefusedMs: number | null;
  readonly temporalRefusedMs: number | null;
  /** Trackers of the cluster that its config does not have. */
  readonly lacks: readonly string[];
  /** Pools that it was told to keep, and cannot give away: it is drained, and no other node may keep them. */
  readonly stuck: number;
  /**
   * Pools that have come to it again and again in the last minute, and could not be begun; the last one of them with
   * why, null: there is none.
   */
  readonly failing: { readonly pools: number; readonly example: string | null };
  readonly minute: LastMinute;
}

/** More names than this are not read. */
const MOST = 1_000;

/** @param value the JSON of the row. @returns undefined: nothing is known */
export function readFigures(value: unknown): NodeFigures | undefined {
  if (!isObject(value)) return undefined;
  const minute = isObject(value.minute) ? value.minute : {};
  const failing = isObject(value.failing) ? value.failing : {};
  return {
    eventLoop: amount(value.eventLoop) ?? 0,
    lagMs: amount(value.lagMs) ?? 0,
    cpu: amount(value.cpu) ?? 0,
    rssBytes: amount(value.rssBytes) ?? 0,
    heapBytes: amount(value.heapBytes) ?? 0,
    heapLimitBytes: amount(value.heapLimitBytes) ?? 0,
    members: amount(value.members) ?? 0,
    share: amount(value.share),
    health: amount(value.health) ?? 1,
    trust: amount(value.trust) ?? 1,
    storeRefusedMs: amount(value.storeRefusedMs),
    temporalRefusedMs: amount(value.temporalRefusedMs),
    lacks: Array.isArray(value.lacks) ? value.lacks.slice(0, MOST).filter((name) => typeof name === 'string') : [],
    stuck: amount(value.stuck) ?? 0,
    failing: {
      pools: amount(failing.pools) ?? 0,
      example: typeof failing.example === 'string' ? failing.example : null,
    },
    minute: {
      lateMs: amount(minute.lateMs),
      fetched: amount(minute.fetched) ?? 0,
      failed: amount(minute.failed) ?? 0,
      restarts: amount(minute.restarts) ?? 0,
      declined: amount(minute.declined) ?? 0,
      redirected: amount(minute.redirected) ?? 0,
      moved: amount(minute.moved) ?? 0,
      fenced: amount(minute.fenced) ?? 0,
    },
  };
}

function amount(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;
}
