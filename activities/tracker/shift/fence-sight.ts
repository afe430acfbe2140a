/**
 * The fences of pools that a node has sent on, or that are to come back to it: another token says that somebody has
 * taken one. Owned by `placing.ts`, which looks a few times a second, and not more while there are none.
 */
import type { Database } from '../../lib/database';
import { idOf, poolOf } from '../placement/types';
import { seenFences } from '../store/fence';

const READ_LIMITS = { statementTimeoutMs: 2_000, lockTimeoutMs: 500 };

export interface TakenPool {
  id: string;
  node: string;
  /** By the database's clock, epoch milliseconds. */
  takenAt: number;
}

export class FenceSight {
  /** By pool: the token that it had when it was sent on. */
  private readonly sent = new Map<string, number>();

  constructor(private readonly database: Database) {}

  /** A pool is sent on. */
  send(id: string, token: number): void {
    this.sent.set(id, token);
  }

  /**
   * @param awaited pools on their way; what is known of others is forgotten
   * @param returning pools that are to come back, with their tokens
   */
  async look(awaited: readonly string[], returning: ReadonlyMap<string, number>): Promise<TakenPool[]> {
    const still = new Set(awaited);
    for (const id of this.sent.keys()) if (!still.has(id)) this.sent.delete(id);
    const watched = new Map([...this.sent, ...returning]);
    if (watched.size === 0) return [];
    const asked = [...watched].map(([id, token]) => ({ ...poolOf(id), token }));
    const taken = await this.database.transaction((db) => seenFences(db, asked), READ_LIMITS);
    return taken.map(({ tracker, pool, node, takenAt }) => ({ id: idOf({ tracker, pool }), node, takenAt }));
  }
}
