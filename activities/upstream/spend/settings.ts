/**
 * The limits that this node spends by: those of its config, and over them what was set by hand. Declares them when it
 * starts and looks each second for changes, and for limits that were closed as a whole. Made by `workers/budget.ts`;
 * all that it finds goes to the `Spender`.
 */
import type { Logger } from 'pino';
import type { ResolvedUpstream } from '../../../config/resolve/upstream';
import { withUpstreamChanges } from '../../../workflows/upstream/options';
import type { Database } from '../../lib/database';
import { errorOf } from '../../lib/failures';
import { sameJson } from '../../lib/same-json';
import type { Service } from '../../lib/service';
import { limitedUpstream } from '../budget/resolve';
import type { LimitedUpstream } from '../budget/spender';
import type { LimitName } from '../store/limit-closings';
import { declareUpstreams, readUpstreamWords, type UpstreamRow } from '../store/upstreams';

const LOOK_MS = 1_000;

export interface SettingsOptions {
  database: Database;
  upstreams: readonly ResolvedUpstream[];
  /** Makes an upstream known, or changes it while it runs. */
  define: (upstream: LimitedUpstream) => void;
  /** A limit was closed for all of its keys, or opened; told each second. */
  hearLimit: (limit: LimitName, closedFor: number, serial: number) => void;
  log: Logger;
}

export class UpstreamSettings implements Service {
  private readonly known = new Map<string, UpstreamRow['changes']>();
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private isFailing = false;

  constructor(private readonly options: SettingsOptions) {
    // Before it has looked it goes by its config.
    for (const upstream of options.upstreams) this.define(upstream, {});
  }

  async start(): Promise<void> {
    const { database, upstreams } = this.options;
    await database.transaction((db) => declareUpstreams(db, upstreams));
    await this.look();
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    this.timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  /** Never rejects: without the database, what was known holds. */
  look(): Promise<void> {
    return (this.looking ??= this.lookOnce().finally(() => (this.looking = undefined)));
  }

  private async lookOnce(): Promise<void> {
    const { database, upstreams, log, hearLimit } = this.options;
    try {
      const names = upstreams.map(({ name }) => name);
      const rows = await database.transaction((db) => readUpstreamWords(db, names));
      for (const { name: upstream, closings } of rows)
        for (const { limit, closedFor, serial } of closings) hearLimit({ upstream, limit }, closedFor, serial);
      const changes = new Map(rows.map((row) => [row.name, row.changes]));
      for (const upstream of upstreams) {
        const now = changes.get(upstream.name) ?? {};
        if (sameJson(now, this.known.get(upstream.name))) continue;
        this.define(upstream, now);
        log.info({ upstream: upstream.name, set: now }, 'limits were changed by hand');
      }
      this.isFailing = false;
    } catch (thrown) {
      if (!this.isFailing) log.warn({ err: errorOf(thrown) }, 'changes of limits cannot be read; those known hold');
      this.isFailing = true;
    }
  }

  private define(upstream: ResolvedUpstream, changes: UpstreamRow['changes']): void {
    this.known.set(upstream.name, changes);
    this.options.define(limitedUpstream(upstream, withUpstreamChanges(upstream.options, changes)));
  }
}
