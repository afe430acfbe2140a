/**
 * The connections of a worker that run statements of jobs right now, so that they can be cancelled: by a worker that
 * must end, and where a chunk has waited for one lock after the other for so long that a player who waits for it would
 * become the victim of a deadlock. Made by `node.ts`, used by `rows.ts`.
 */
import type { Database, Queryable, Statement } from '../lib/database';

const PID: Statement = { name: 'backends-pid', text: 'select pg_backend_pid() as pid' };
const CANCEL: Statement = {
  name: 'backends-cancel',
  text: 'select pg_cancel_backend(pid) from unnest($1::int[]) as p (pid)',
};
/** Only while it waits: what works may take its time. */
const CANCEL_WAITING: Statement = {
  name: 'backends-cancel-waiting',
  text: `select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'`,
};

const CANCELED = '57014';
const LOCK_NOT_AVAILABLE = '55P03';

export class Backends {
  private readonly busy = new Set<number>();

  constructor(private readonly database: Database) {}

  /**
   * Runs statements on a connection that can be cancelled meanwhile. @param lockMs waits for locks are cut off after
   * about twice this
   */
  async watch<T>(db: Queryable, lockMs: number, work: () => Promise<T>): Promise<T> {
    const pid = await pidOf(db);
    this.busy.add(pid);
    let waited = false;
    let asked: Promise<void> | undefined;
    const cancelWaiting = async (): Promise<void> => {
      if ((await this.ask(CANCEL_WAITING, [pid])) > 0) waited = true;
    };
    const watch = setInterval(() => void (asked = cancelWaiting()), lockMs * 1.6);
    try {
      return await work();
    } catch (error) {
      // The statement may fail before it is known here that it was cancelled for its wait.
      await asked;
      if (!waited || (error as { code?: unknown }).code !== CANCELED) throw error;
      throw Object.assign(new Error('it waited for one lock after the other'), { code: LOCK_NOT_AVAILABLE });
    } finally {
      clearInterval(watch);
      this.busy.delete(pid);
    }
  }

  /** All of them: their transactions fail with 57014, and are rolled back. */
  async cancel(): Promise<void> {
    if (this.busy.size > 0) await this.ask(CANCEL, [[...this.busy]]);
  }

  /** Without PostgreSQL there is nothing that could be cancelled. */
  private async ask(statement: Statement, values: unknown[]): Promise<number> {
    return (await this.database.rows(statement, values).catch(() => [])).length;
  }
}

/** pg knows it of its own connections; behind a pooler only the server does. */
async function pidOf(db: Queryable): Promise<number> {
  const known = (db as { processID?: number | null }).processID;
  if (typeof known === 'number') return known;
  return (await db.query<{ pid: number }>({ ...PID, values: [] })).rows[0]!.pid;
}
