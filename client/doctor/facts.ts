/**
 * All that the doctor goes by, gathered in one go: a part that cannot be had is unknown, with the reason, and the
 * others are looked at all the same. Called by `doctor.ts`; judged by `checks.ts`.
 */
import type { BrokenCompensation } from '../durable/handle';
import type { Connections } from '../connections';
import { EncodingMismatchError, ForeignNamespaceError } from '../errors';
import { NODE_GONE } from '../tracker/queries';
import { readStatus, type Status } from '../status';
import type { Statement } from '../../activities/lib/database';
import { errorText } from '../../workflows/lib/text';

/** A part that was read, or why it could not be. */
export type Fact<T> = { readonly known: true; readonly value: T } | { readonly known: false; readonly why: string };

/** A pool that no node takes until somebody says so. */
interface QuarantinedPool {
  tracker: string;
  pool: number;
  lastError: string | null;
}

/** A node that has not ended and is not heard of. */
interface SilentNode {
  name: string;
  host: string;
  silentMs: number;
  pools: number;
}

export interface Facts {
  /** From PostgreSQL: trackers, jobs, buffers, nodes. */
  readonly status: Fact<Status>;
  readonly quarantined: Fact<readonly QuarantinedPool[]>;
  readonly silent: Fact<readonly SilentNode[]>;
  readonly compensations: Fact<readonly BrokenCompensation[]>;
  /** Why the namespace does not belong to this database; null: it does. */
  readonly namespace: Fact<string | null>;
  /** Why the workers could not read what this program would write; null: they can. */
  readonly encoding: Fact<string | null>;
  /** Whether a worker has asked Temporal for work in the last minute. */
  readonly polled: Fact<boolean>;
}

const QUARANTINED: Statement = {
  name: 'doctor-quarantined',
  text: `select tracker, pool, last_error as "lastError" from longwatch.pool
         where quarantined_at is not null order by tracker, pool limit 1000`,
};

const SILENT: Statement = {
  name: 'doctor-silent',
  text: `select n.name, n.host, (extract(epoch from now() - n.seen_at) * 1000)::float8 as "silentMs",
                (select count(*)::int from longwatch.pool p where p.node = n.name and p.released_at is null) as pools
         from longwatch.node n
         where n.ended_at is null and n.seen_at <= now() - ${NODE_GONE} and n.seen_at > now() - interval '1 day'
         order by n.seen_at desc limit 100`,
};

/** Each part by itself: one that fails is unknown. */
export async function gatherFacts(
  connections: Connections,
  broken: () => Promise<readonly BrokenCompensation[]>,
): Promise<Facts> {
  const [status, quarantined, silent, compensations, namespace, encoding, polled] = await Promise.all([
    fact(() => readStatus(connections)),
    fact(() => connections.rows<QuarantinedPool & Record<string, unknown>>(QUARANTINED)),
    fact(() => connections.rows<SilentNode & Record<string, unknown>>(SILENT)),
    fact(broken),
    fact(() => refusal(ForeignNamespaceError, connections.ownNamespace())),
    fact(() => refusal(EncodingMismatchError, connections.mayWrite())),
    fact(() => connections.workersPoll()),
  ]);
  return { status, quarantined, silent, compensations, namespace, encoding, polled };
}

/** An error of this kind is an answer. */
async function refusal(kind: new (...args: never[]) => Error, asked: Promise<void>): Promise<string | null> {
  try {
    await asked;
    return null;
  } catch (error) {
    if (error instanceof kind) return error.message;
    throw error;
  }
}

async function fact<T>(read: () => Promise<T>): Promise<Fact<T>> {
  try {
    return { known: true, value: await read() };
  } catch (error) {
    return { known: false, why: error instanceof Error ? error.message : errorText(error) };
  }
}
