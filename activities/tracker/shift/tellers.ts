/** The services of a node that only tell people something, by way of the database. Called by `node.ts`. */
import type { Database } from '../../lib/database';
import type { Service } from '../../lib/service';
import { AgeTeller, type AgeHost } from './age-teller';
import { Waits, type WaitsHost } from './waits';

/** @param limited upstreams have limits, so members may wait for them */
export function tellersOf(database: Database, host: AgeHost & WaitsHost, limited: boolean): Service[] {
  return [...(limited ? [new Waits(database, host)] : []), new AgeTeller(database, host)];
}
