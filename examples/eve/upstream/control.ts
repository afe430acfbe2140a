/**
 * The settings of the running upstream (`POST /_control`) and its counters (`GET /_control`). Tests and the
 * bench drive bad days through it. Used by `server.ts`.
 */

export interface Settings {
  /** Before each answer but the login server's, milliseconds, plus 0 to `jitterMs`. */
  latencyMs: number;
  jitterMs: number;
  /** Shares of the requests, 0 to 1, that get a 502, no answer, a body that is not JSON, 10 MB, a closed socket. */
  errorRate: number;
  hangRate: number;
  garbageRate: number;
  hugeRate: number;
  closeRate: number;
  /** The five rates hold for these only; empty: for all. */
  onlyIds: number[];
  onlyRoutes: string[];
  /** The daily downtime: every route answers 503. */
  downtime: boolean;
  /** Only staff may log in; the rest of the routes go on. */
  vip: boolean;
  /** Whether the two limiters count and refuse. */
  limits: boolean;
  /** Whether characters' own routes ask for an access token. */
  auth: boolean;
  accessTokenSeconds: number;
  /** Refreshes at once before the login server answers 500. */
  refreshesAtOnce: number;
  /** How long a refresh takes, milliseconds. */
  refreshMs: number;
  /** Characters that were deleted: 404, and they fail an affiliation request. */
  deletedIds: number[];
}

export const DEFAULT_SETTINGS: Readonly<Settings> = {
  latencyMs: 0,
  jitterMs: 0,
  errorRate: 0,
  hangRate: 0,
  garbageRate: 0,
  hugeRate: 0,
  closeRate: 0,
  onlyIds: [],
  onlyRoutes: [],
  downtime: false,
  vip: false,
  limits: true,
  auth: true,
  accessTokenSeconds: 1_200,
  refreshesAtOnce: 5,
  refreshMs: 20,
  deletedIds: [],
};

export interface Counters {
  requests: number;
  /** Route, then status; a hang and a closed socket count as `hang` and `closed`. */
  routes: Record<string, Record<string, number>>;
  /** Requests for something that had been answered and had not yet expired. */
  early: number;
  /** The same by route and id, `location 2112000001`; the first 10,000. */
  earlyBy: Record<string, number>;
  mostRefreshesAtOnce: number;
  refreshes: number;
  characters: number;
}

const EARLY_KEPT = 10_000;

/** Counts what the upstream answers. */
export class Counting {
  counts = freshCounters();
  private earlyKept = 0;

  reset(): void {
    this.counts = freshCounters();
    this.earlyKept = 0;
  }

  count(route: string, result: string): void {
    const counts = (this.counts.routes[route] ??= {});
    counts[result] = (counts[result] ?? 0) + 1;
  }

  early(route: string, id: number): void {
    this.counts.early++;
    const key = id === 0 ? route : `${route} ${id}`;
    const before = this.counts.earlyBy[key];
    if (before === undefined && this.earlyKept++ >= EARLY_KEPT) return;
    this.counts.earlyBy[key] = (before ?? 0) + 1;
  }
}

function freshCounters(): Counters {
  return { requests: 0, routes: {}, early: 0, earlyBy: {}, mostRefreshesAtOnce: 0, refreshes: 0, characters: 0 };
}

/** Checks a change of settings. Answers what is wrong with it, or the settings as they are then. */
export function changedSettings(current: Settings, change: unknown): Settings | string {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) return 'settings must be a JSON object';
  const next: Record<string, unknown> = { ...current };
  for (const [name, value] of Object.entries(change)) {
    const standard = Object.hasOwn(DEFAULT_SETTINGS, name) ? DEFAULT_SETTINGS[name as keyof Settings] : undefined;
    if (standard === undefined)
      return `there is no setting ${name}; there are ${Object.keys(DEFAULT_SETTINGS).join(', ')}`;
    const problem = problemOf(name, value, standard);
    if (problem !== undefined) return `${name} must be ${problem}`;
    next[name] = value;
  }
  return next as unknown as Settings;
}

function problemOf(name: string, value: unknown, standard: Settings[keyof Settings]): string | undefined {
  if (typeof standard === 'boolean') return typeof value === 'boolean' ? undefined : 'true or false';
  if (Array.isArray(standard)) {
    const type = name === 'onlyRoutes' ? 'string' : 'number';
    const fits = Array.isArray(value) && value.every((item) => typeof item === type);
    return fits ? undefined : `a list of ${type}s`;
  }
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return 'a number, 0 or more';
  return name.endsWith('Rate') && value > 1 ? 'a share from 0 to 1' : undefined;
}
