/**
 * The two servers of the nodes, and what happens to them: each may be killed and started again, and the tracker's root
 * workflow may be terminated by hand. Also what only PostgreSQL can say: whether an old value was ever written over a
 * newer one, as by two shifts of a pool that both write, and which node had the fence of an id's pool at a time.
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { Pool } from 'pg';
import { pino } from 'pino';
import { PortTakenError } from '../../../workers/dev/errors';
import { startDevServers, type DevServers } from '../../../workers/dev/servers';
import { freePort } from '../../../workers/metrics';
import { trackerWorkflowId } from '../../../workflows/tracker/contract';
import { Keepers, type Taken } from './keepers';

const LOG = pino({ level: 'error' }, pino.destination({ fd: 2, sync: true }));
/** A root that was ended by hand is there again within this: a patrol looks for it four times a minute. */
const ROOT_BACK_MS = 40_000;

/** The upstream counts the requests for each id, so what is stored grows: whoever makes it smaller has written late. */
const WATCH = `
  create table public.written_late (member bigint, was int, became int, at timestamptz default clock_timestamp());
  create function public.note_late() returns trigger language plpgsql as $$
  begin
    if (new.value)::text::int < (old.value)::text::int then
      insert into public.written_late (member, was, became) values (new.member, (old.value)::text::int, (new.value)::text::int);
    end if;
    return new;
  end $$;
  create trigger note_late before update of value on longwatch.value for each row execute function public.note_late();

  create table public.keeper (pool int, token bigint, node text, at timestamptz default clock_timestamp());
  create function public.note_keeper() returns trigger language plpgsql as $$
  begin
    insert into public.keeper (pool, token, node) values (new.pool, new.token, new.node);
    return null;
  end $$;
  insert into public.keeper select pool, token, node, taken_at from longwatch.pool where node is not null;
  create trigger note_keeper after insert or update of token on longwatch.pool for each row
    when (new.node is not null) execute function public.note_keeper();`;

/**
 * On ports of their own: another stack would take the usual ones while a server is down. A port that was free may be
 * lost before the server has it; then others are taken.
 */
async function startServers(dir: string): Promise<DevServers> {
  for (let tries = 1; ; tries++) {
    const ports = { temporal: await freePort(), postgres: await freePort() };
    try {
      return await startDevServers({ dir, ui: false, log: LOG, ports });
    } catch (error) {
      if (!(error instanceof PortTakenError) || tries === 3) throw error;
    }
  }
}

export class Servers {
  private constructor(
    readonly dev: DevServers,
    private readonly tracker: string,
    private readonly pool: Pool,
  ) {
    // While it is away.
    pool.on('error', () => undefined);
  }

  static async start(folder: string, tracker: string): Promise<Servers> {
    const dev = await startServers(path.join(folder, 'servers'));
    return new Servers(dev, tracker, new Pool({ connectionString: dev.databaseUrl, max: 2 }));
  }

  async watch(): Promise<void> {
    await this.pool.query(WATCH);
  }

  /** @returns how often a value was replaced by an older one */
  async writtenLate(): Promise<number> {
    const { rows } = await this.pool.query<{ n: number }>('select count(*)::int as n from public.written_late');
    return rows[0]!.n;
  }

  /** @returns who took the fence of each pool, and when */
  async keepers(): Promise<Keepers> {
    const members = await this.pool.query<{ id: string; pool: number }>(
      `select m.id, longwatch.pool_of(m.hash, t.pools) as pool
       from longwatch.member m join longwatch.tracker t on t.name = m.tracker
       where m.tracker = $1 and m.removed_at is null`,
      [this.tracker],
    );
    const { rows } = await this.pool.query<Taken>(
      `select pool, node, (extract(epoch from at) * 1000)::float8 as at from public.keeper order by pool, token`,
    );
    return new Keepers(new Map(members.rows.map(({ id, pool }) => [id, pool])), rows);
  }

  /** SIGKILL, and some time later it is there again with all that it had. */
  async restart(which: 'postgres' | 'temporal', awayMs: number): Promise<void> {
    await this.dev.kill(which);
    await delay(awayMs);
    await this.dev.start(which);
  }

  /** As somebody does by mistake in Temporal's web page. */
  async terminateRoot(): Promise<void> {
    await this.withRoot((root) => root.terminate('the example does it'));
    await delay(1_000);
  }

  /** Whether the root runs, or does so in a while. */
  async hasRoot(): Promise<boolean> {
    return this.withRoot(async (root) => {
      for (const end = Date.now() + ROOT_BACK_MS; Date.now() < end; await delay(500)) {
        const { status } = await root.describe();
        if (status.name === 'RUNNING') return true;
      }
      return false;
    });
  }

  async stop(): Promise<void> {
    await this.pool.end().catch(() => undefined);
    await this.dev.stop();
  }

  private async withRoot<T>(work: (root: ReturnType<Client['workflow']['getHandle']>) => Promise<T>): Promise<T> {
    const connection = await Connection.connect({ address: this.dev.temporalAddress });
    try {
      const client = new Client({ connection, namespace: this.dev.namespace });
      return await work(client.workflow.getHandle(trackerWorkflowId(this.tracker)));
    } finally {
      await connection.close();
    }
  }
}
