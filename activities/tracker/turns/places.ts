/**
 * The places of ids among the pools of every tracker, for what a commit writes: by the route that a tracker's row says
 * (`route.ts`). The rows are read each second, for a handler may send to members of any tracker. Made by
 * `node-turns.ts`.
 */
import type { TrackerDefinition } from '../../../config/define/tracker';
import type { Database, Statement } from '../../lib/database';
import { placingOf, type Placing } from '../route';

const ROUTES: Statement = {
  name: 'turn-routes',
  text: `select name, options ->> 'route' as route, jsonb_typeof(options -> 'receive') is not distinct from 'object' as receives
         from longwatch.tracker`,
};

export class Places {
  private readonly known = new Map<string, Placing>();
  private routes = new Map<string, string | null>();
  /** Trackers whose members take messages. */
  private receiving = new Set<string>();

  constructor(
    private readonly database: Database,
    private readonly definitions: ReadonlyMap<string, TrackerDefinition>,
  ) {}

  async refresh(): Promise<void> {
    const rows = await this.database.rows<{ name: string; route: string | null; receives: boolean }>(ROUTES);
    const routes = new Map(rows.map(({ name, route }) => [name, route]));
    for (const [name, route] of routes) if (this.routes.get(name) !== route) this.known.delete(name);
    this.routes = routes;
    this.receiving = new Set(rows.flatMap(({ name, receives }) => (receives ? name : [])));
  }

  /** Before a commit that sends to members of these: one that was started a moment ago is not known yet. */
  async meet(trackers: Iterable<string>): Promise<void> {
    for (const tracker of trackers) if (!this.receiving.has(tracker)) return this.refresh();
  }

  /** A pool of the tracker is kept: its row says so. */
  learn(tracker: string, route: string | undefined): void {
    if (this.routes.get(tracker) === (route ?? null)) return;
    this.routes.set(tracker, route ?? null);
    this.known.delete(tracker);
  }

  /**
   * @param toSend a message is sent there. @throws where there is no such tracker, its route is not known here, or its
   *   members take no messages, so that nobody would ever read it: that turn has failed
   */
  readonly of = (tracker: string, toSend = false): Placing => {
    if (toSend && this.routes.has(tracker) && !this.receiving.has(tracker))
      throw new Error(`the members of ${tracker} take no messages`);
    const known = this.known.get(tracker);
    if (known) return known;
    const route = this.routes.get(tracker);
    if (route === undefined) throw new Error(`there is no tracker ${tracker}`);
    const placing = placingOf(tracker, route ?? undefined, this.definitions.get(tracker));
    this.known.set(tracker, placing);
    return placing;
  };
}
