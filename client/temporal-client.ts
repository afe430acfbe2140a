/**
 * Temporal's client package, loaded when the first request is made: it takes a quarter of a second, and what only reads
 * PostgreSQL (`status`, `show`, `list`) has no use for it. Called by `connections.ts` and `commands.ts`.
 */
import type * as client from '@temporalio/client';
import type * as common from '@temporalio/common';
import { refuseIgnoredCodec, wholeConverter } from '../config/data-converter';
import type { TemporalTarget } from '../config/environment';
import type * as temporalTls from '../config/temporal-tls';

// eslint-disable-next-line @typescript-eslint/no-require-imports -- an `import()` would make each of its uses asynchronous
export const temporalClient = () => require('@temporalio/client') as typeof client;

// eslint-disable-next-line @typescript-eslint/no-require-imports -- an `import()` would be a promise here too
export const temporalCommon = () => require('@temporalio/common') as typeof common;

/** How long Temporal may take to answer the first time. Milliseconds. */
const CONNECT_MS = 5_000;

export async function connectTemporal(
  { namespace, codecEndpoint, ...target }: TemporalTarget,
  given?: common.DataConverter,
): Promise<client.Client> {
  const dataConverter = wholeConverter(given);
  refuseIgnoredCodec({ codecEndpoint }, dataConverter);
  const { Client, Connection } = temporalClient();
  const connection = Connection.lazy({ ...target, connectTimeout: CONNECT_MS });
  try {
    await connection.ensureConnected();
  } catch (error) {
    // It would try on and on, beside the one of the next request.
    await connection.close().catch(() => undefined);
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded where it failed
    const { withTlsProblem } = require('../config/temporal-tls') as typeof temporalTls;
    throw await withTlsProblem(error, { namespace, ...target });
  }
  return new Client({ connection, namespace, dataConverter });
}

const UNAVAILABLE = 14;
const NOT_CONNECTED = /Failed to connect|No connection established/;

/** Whether the server could not be reached, as opposed to: it refused, or the workflow did. */
export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { isGrpcDeadlineError, isGrpcServiceError } = temporalClient();
  const { WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError } = temporalClient();
  if (error instanceof WorkflowUpdateFailedError) return false;
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return false;
  const { message, cause } = error;
  const code = isGrpcServiceError(error) ? (error.code as number) : undefined;
  return code === UNAVAILABLE || isGrpcDeadlineError(error) || NOT_CONNECTED.test(message) || isUnreachable(cause);
}
