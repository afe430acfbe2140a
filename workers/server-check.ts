/**
 * Finds what Temporal's server lacks of what Longwatch needs, from the server's own answers at the start of a worker:
 * nothing is concluded from the version alone. Called by `parts.ts`, whose worker goes on: what works without it still
 * works, and whoever reads the log knows why the rest does not.
 */
import type { Connection } from '@temporalio/client';
import type { Logger } from 'pino';

/** The oldest that the tests run on; `workers/dev/temporal.ts` compiles it. */
export const OLDEST_SERVER = '1.29.1';

/**
 * A payload may have this many bytes on a server with its default settings, and Longwatch's largest are not far below
 * it.
 */
const PAYLOAD_BYTES = 2 * 1024 * 1024;

/** The part of the answers that is looked at. */
export interface ServerAnswers {
  version: string;
  /** Undefined: it does not say. */
  payloadBytes?: number;
  updates: boolean;
}

/** Logs one line where something is lacking. */
export async function tellServer(connection: Connection, namespace: string, log: Logger): Promise<void> {
  const answers = await ask(connection, namespace);
  const lacking = lackOf(answers);
  if (lacking === undefined) log.debug(`Temporal's server is ${answers.version}, and lacks nothing`);
  else log.warn(lacking);
}

async function ask(connection: Connection, namespace: string): Promise<ServerAnswers> {
  const { serverVersion } = await connection.workflowService.getSystemInfo({});
  const { namespaceInfo } = await connection.workflowService.describeNamespace({ namespace });
  // Numbers that are not set are 0 on the wire; older servers say nothing of it.
  const payloadBytes = Number(namespaceInfo?.limits?.blobSizeLimitError ?? 0);
  return {
    version: serverVersion ?? '',
    updates: namespaceInfo?.capabilities?.syncUpdate ?? false,
    ...(payloadBytes > 0 ? { payloadBytes } : {}),
  };
}

/** @returns one line that says what is lacking and what to do; undefined: nothing is. */
export function lackOf({ version, payloadBytes, updates }: ServerAnswers): string | undefined {
  const lacking: string[] = [];
  if (isOlder(version, OLDEST_SERVER)) {
    lacking.push(`it is older than ${OLDEST_SERVER}, the oldest that Longwatch is tested on: upgrade it`);
  }
  if (!updates) {
    lacking.push(
      'it lacks workflow updates, without which stop, pause, resume, config and pushes that wait fail: ' +
        'set frontend.enableUpdateWorkflowExecution to true',
    );
  }
  if (payloadBytes !== undefined && payloadBytes < PAYLOAD_BYTES) {
    lacking.push(
      `it takes payloads of ${payloadBytes} bytes at most, and Longwatch's may have more: ` +
        `set limit.blobSize.error to ${PAYLOAD_BYTES} or more`,
    );
  }
  if (lacking.length === 0) return undefined;
  return `Temporal's server ${printable(version)}: ${lacking.join('; ')}`;
}

/** A text without a version's form is not compared: a hosted server may count in its own way. */
function isOlder(version: string, than: string): boolean {
  const seen = numbersOf(version);
  const least = numbersOf(than)!;
  if (seen === undefined) return false;
  const at = seen.findIndex((number, i) => number !== least[i]);
  return at >= 0 && seen[at]! < least[at]!;
}

function numbersOf(version: string): number[] | undefined {
  return /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})/.exec(version)?.slice(1).map(Number);
}

const printable = (version: string): string => (/^[\w.+-]{1,40}$/.test(version) ? version : '(of an unknown version)');
