/**
 * The options of upstreams: read as nodes have them, and set by hand while they run. Each node looks every second and
 * lays what was set over its own config. Made by `Longwatch.upstream`.
 */
import {
  lockUpstream,
  readUpstreams,
  setUpstreamChanges,
  type UpstreamRow,
} from '../activities/upstream/store/upstreams';
import { upstreamChange } from '../config/change';
import { didYouMean } from '../config/suggest';
import {
  LIMIT_OPTIONS,
  UPSTREAM_OPTIONS,
  withUpstreamChanges,
  type UpstreamOptionValues,
} from '../workflows/upstream/options';
import type { OptionSpec } from '../workflows/lib/options';
import { sameJson } from '../activities/lib/same-json';
import { recorded, type SetOptions } from './audit';
import type { Connections } from './connections';
import { ChangedError, UnknownUpstreamError } from './errors';
import { settingOf, type Setting } from './settings';

export class UpstreamHandle {
  constructor(
    readonly name: string,
    private readonly connections: Connections,
  ) {}

  /** Every option that can be set, its value now and where it comes from. */
  async config(): Promise<Setting[]> {
    const rows = await this.connections.readTransaction((db) => readUpstreams(db));
    const row = rows.find(({ name }) => name === this.name);
    if (!row) throw unknown(this.name, rows);
    return settingsOf(row);
  }

  /**
   * Changes options on all nodes within a second or two.
   * @param changes by path as in the config: `headroom`, `limits.errors.tokens`; null or an empty text takes a change
   *   back
   * @throws ConfigError for a path or value that may not stand, ChangedError where `onlyIf` does not hold: nothing is
   *   changed then
   */
  set(
    changes: Readonly<Record<string, string | number | boolean | null>>,
    { why, onlyIf }: SetOptions = {},
  ): Promise<{ upstream: string; changed: boolean }> {
    const command = { what: 'set', subject: `upstream/${this.name}`, why };
    return recorded(this.connections, command, async (db) => {
      const row = await lockUpstream(db, this.name);
      if (!row) throw unknown(this.name, await readUpstreams(db));
      if (onlyIf && !onlyIf(settingsOf(row))) throw new ChangedError(`upstream '${this.name}'`);
      const known: Record<string, UpstreamOptionValues> = { [this.name]: row.options };
      const after: Record<string, number | boolean | string> = {};
      for (const [path, value] of Object.entries(row.changes)) if (value !== null) after[path] = value;
      for (const [path, value] of Object.entries(changes)) {
        const { change } = upstreamChange(`upstreams.${this.name}.${path}`, value, known);
        if (change.value === null) delete after[change.path];
        else after[change.path] = change.value;
      }
      const changed = !sameJson(row.changes, after);
      if (changed) await setUpstreamChanges(db, this.name, after);
      return { result: { upstream: this.name, changed }, before: row.changes, after, changed };
    });
  }
}

/** Names of all upstreams with limits that a worker's config has had. */
export async function upstreamNames(connections: Connections): Promise<string[]> {
  return (await connections.readTransaction((db) => readUpstreams(db))).map(({ name }) => name);
}

function settingsOf({ options, sources, changes }: UpstreamRow): Setting[] {
  const of = { inForce: withUpstreamChanges(options, changes), stored: { ...options, sources }, changes };
  const setting = (spec: OptionSpec, prefix?: string): Setting => settingOf(of, spec, prefix);
  return [
    ...UPSTREAM_OPTIONS.map((spec) => setting(spec)),
    ...Object.keys(options.limits).flatMap((limit) => LIMIT_OPTIONS.map((spec) => setting(spec, `limits.${limit}.`))),
  ];
}

function unknown(name: string, rows: readonly UpstreamRow[]): UnknownUpstreamError {
  const names = rows.map((row) => row.name);
  return new UnknownUpstreamError(name, didYouMean(name, names), names);
}
