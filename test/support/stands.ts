/**
 * Temporal and PostgreSQL for the test files: a stand has one of each, and gives each file a place, which is a database
 * and a namespace of its own. A worker of Jest has its own stand, so that one file at a time uses its servers. The
 * process that runs Jest keeps the stands (`global-setup.ts`); files ask for a place by HTTP (`servers.ts`).
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client as TemporalClient, Connection } from '@temporalio/client';
import { Client } from 'pg';
import { pino } from 'pino';
import type { DevServers } from '../../workers/dev/servers';
import { temporaryFolder } from '../../workers/dev/temporary';
import { migrate } from '../../workers/migrate';
import { SEARCH_ATTRIBUTES } from '../../workflows/lib/contract';
import { startServers, type Place } from './servers';

/** The namespaces of a Temporal cost it time also when nobody uses them any more; then servers begin anew. */
const MOST_PLACES = 24;

const silent = pino({ level: 'silent' });

class Stand {
  private places = 0;

  private constructor(
    private readonly dir: string,
    private readonly servers: DevServers,
    private readonly connection: Connection,
    private readonly database: Client,
  ) {}

  static async start(): Promise<Stand> {
    const dir = temporaryFolder('stand');
    const servers = await startServers({ dir });
    // Its first database is what the places' ones are copied from; nobody else may be in it meanwhile.
    await migrate(servers.databaseUrl, silent);
    const database = new Client({ connectionString: at(servers.databaseUrl, 'postgres') });
    database.on('error', () => undefined);
    await database.connect();
    // No power is cut in a test that has no servers of its own.
    for (const setting of ['fsync', 'full_page_writes']) await database.query(`alter system set ${setting} = off`);
    await database.query('select pg_reload_conf()');
    return new Stand(dir, servers, await Connection.connect({ address: servers.temporalAddress }), database);
  }

  get isUsedUp(): boolean {
    return this.places >= MOST_PLACES;
  }

  async place(): Promise<Place> {
    const { temporalAddress, databaseUrl } = this.servers;
    const name = `place_${++this.places}`;
    const [template] = new URL(databaseUrl).pathname.split('/').slice(1);
    await Promise.all([
      this.database.query(`create database ${name} template ${template}`),
      registerNamespace(this.connection, name),
    ]);
    return { temporalAddress, namespace: name, databaseUrl: at(databaseUrl, name) };
  }

  /** Ends all that goes on there: its sessions, and workflows that would go on without a worker. */
  async leave({ namespace }: Place): Promise<void> {
    await this.database.query(`drop database if exists ${namespace} with (force)`);
    const { workflow } = new TemporalClient({ connection: this.connection, namespace });
    const ends: Promise<unknown>[] = [];
    for await (const { workflowId, runId } of workflow.list({ query: `ExecutionStatus = 'Running'` }))
      ends.push(workflow.getHandle(workflowId, runId).terminate().catch(() => undefined)); // prettier-ignore
    await Promise.all(ends);
  }

  async stop(): Promise<void> {
    await this.connection.close().catch(() => undefined);
    await this.database.end().catch(() => undefined);
    await this.servers.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

async function registerNamespace(connection: Connection, namespace: string): Promise<void> {
  const day = { seconds: 86_400 as never };
  await connection.workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: day });
  // The numbers of Temporal's types.
  const types = { KEYWORD: 2, INT: 3 } as const;
  const searchAttributes = Object.fromEntries(
    Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => [name, types[type]]),
  );
  await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
}

function at(databaseUrl: string, database: string): string {
  const url = new URL(databaseUrl);
  url.pathname = `/${database}`;
  return url.href;
}

/** A stand, as it is given to files. */
export type OneStand = Pick<Stand, 'isUsedUp' | 'place' | 'leave' | 'stop'>;

/** All stands of a run of Jest. If something goes wrong with one, the file after that has another one. */
export class Stands {
  /** By worker. */
  private readonly stands = new Map<string, Promise<OneStand>>();
  /** By the address of a place's database: who has given it. */
  private readonly givers = new Map<string, OneStand>();
  private readonly broken = new Set<OneStand>();
  private readonly server: Server;

  constructor(private readonly begin: () => Promise<OneStand> = () => Stand.start()) {
    this.server = createServer((request, response) => {
      const worker = request.url!.slice(1);
      const answer = async () => {
        let body = '';
        for await (const piece of request) body += String(piece);
        if (request.method === 'DELETE') return this.leave(worker, JSON.parse(body) as Place);
        return this.placeOf(worker);
      };
      // One that is kept may be closed at the moment in which it is used again.
      response.setHeader('connection', 'close');
      answer().then(
        (place) => response.end(JSON.stringify(place ?? null)),
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
    });
  }

  /** @returns where files ask for a place. */
  async start(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    const begun = await Promise.allSettled(this.stands.values());
    const stands = begun.flatMap((stand) => (stand.status === 'fulfilled' ? [stand.value] : []));
    await Promise.all(stands.map((stand) => stand.stop().catch((error: unknown) => told('stopped', error))));
  }

  private async placeOf(worker: string): Promise<Place> {
    const earlier = await this.stands.get(worker)?.catch(() => undefined);
    if (earlier !== undefined && !earlier.isUsedUp && !this.broken.has(earlier)) {
      const place = await earlier.place().catch((error: unknown) => told('used again', error));
      if (place) return this.given(place, earlier);
    }
    const next = this.begin();
    next.catch(() => undefined);
    this.stands.set(worker, next);
    await earlier?.stop().catch((error: unknown) => told('stopped', error));
    const stand = await next;
    return this.given(await stand.place(), stand);
  }

  private given(place: Place, by: OneStand): Place {
    this.givers.set(place.databaseUrl, by);
    return place;
  }

  /** Nothing to do where its stand has been stopped. Never rejects for what the servers do: the file has passed. */
  private async leave(worker: string, place: Place): Promise<void> {
    const stand = await this.stands.get(worker)?.catch(() => undefined);
    if (!stand || this.givers.get(place.databaseUrl) !== stand) return;
    await stand.leave(place).catch((error: unknown) => {
      told('tidied up', error);
      this.broken.add(stand);
    });
  }
}

function told(what: string, error: unknown): void {
  process.stderr.write(`the servers of test files could not be ${what}: ${String(error)}\n`);
}
