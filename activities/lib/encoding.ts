/**
 * Whether what Temporal keeps is encoded: workers note it in `longwatch.deployment` when they claim it
 * (`deployment.ts`), and who would write in another way is refused: in clear beside workers with a codec, or encoded
 * for workers that cannot read it. Workers ask when they start, clients (`client/connections.ts`) before they write.
 */
import type { DataConverter } from '@temporalio/common';
import { run, type Database, type Queryable, type Statement } from './database';
import { EncodingError } from '../../config/errors';

const NOTED: Statement = {
  name: 'encoding-noted',
  text: `select encoded from longwatch.deployment`,
};
/** Waits for a claim that is under way. */
const NOTED_LAST: Statement = {
  name: 'encoding-noted-last',
  text: `select encoded from longwatch.deployment for share`,
};
const NOTE: Statement = {
  name: 'encoding-note',
  text: `update longwatch.deployment set encoded = $1 where encoded is distinct from $1`,
};
const LIVE: Statement = {
  name: 'encoding-live',
  text: `select name from longwatch.node where ended_at is null and seen_at > now() - interval '15 seconds' order by name limit 3`,
};

/** Null: nobody has said it. */
export type Encoded = boolean | null;

export const encodes = (converter: DataConverter | undefined): boolean => Boolean(converter?.payloadCodecs?.length);

export async function notedEncoding(database: Pick<Database, 'rows'>): Promise<Encoded> {
  return (await database.rows<{ encoded: Encoded }>(NOTED))[0]?.encoded ?? null;
}

/** In the transaction that has claimed the deployment, whose row it holds. @throws EncodingError */
export async function claimEncoding(db: Queryable, encoded: boolean, noted: Encoded): Promise<void> {
  if (noted === true && !encoded) throw new EncodingError(WORKER_IN_CLEAR);
  if (noted === false && encoded) {
    const live = (await run<{ name: string }>(db, LIVE)).map(({ name }) => name);
    if (live.length > 0) throw new EncodingError(besideClear(live));
  }
  await run(db, NOTE, [encoded]);
}

/**
 * Once a worker's node is noted: one with a codec, which came meanwhile and did not see it yet, has noted that all is
 * encoded.
 * @throws EncodingError
 */
export async function confirmEncoding(database: Database, encoded: boolean): Promise<void> {
  if (encoded) return;
  const [row] = await database.rows<{ encoded: Encoded }>(NOTED_LAST);
  if (row?.encoded === true) throw new EncodingError(WORKER_IN_CLEAR);
}

/** The reason why a client may not write, in one line; undefined: it may. */
export function clientProblem(encoded: boolean, noted: Encoded): string | undefined {
  if (noted === null || noted === encoded) return undefined;
  return noted ? CLIENT_IN_CLEAR : CLIENT_ENCODED;
}

const GIVE =
  "dataConverter in the config, connect({ dataConverter }), or LONGWATCH_DATA_CONVERTER=FILE for the command line's verbs";

const WORKER_IN_CLEAR =
  'the workers of this database encode what Temporal keeps, and this one has no codec: give it their dataConverter ' +
  '(in the config, or createWorker({ dataConverter })); how to end encoding on purpose is in docs/security.md';

const CLIENT_IN_CLEAR = `the workers encode what Temporal keeps, and nothing was sent in clear: give their codec here too (${GIVE})`;

const CLIENT_ENCODED =
  'the workers have no codec and could not read what would be encoded here, so nothing was sent: ' +
  'start the workers with this dataConverter first (docs/security.md)';

const besideClear = (live: readonly string[]): string =>
  `workers without a codec are running (${live.join(', ')}) and could not read what this one encodes: end them first; ` +
  'one that was killed is forgotten after 15 seconds';
