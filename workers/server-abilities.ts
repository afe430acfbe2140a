/**
 * What the Temporal server can do is found from its own answers when a worker starts, never assumed: a line in the log for what it
 * lacks. Called by `worker.ts`.
 */
import type { ConnectionLike } from '@temporalio/client';
import type { Logger } from 'pino';

/** The oldest server that the tests run on. */
export const OLDEST_SERVER = '1.29.1';

export interface ServerAnswers {
  /** Such as `1.32.0`; a hosted server may say nothing. */
  version: string;
  /** Of the namespace: an update that is waited for, an update that is not. */
  updates: boolean;
}

export async function lookAtServer(connection: ConnectionLike, namespace: string, log: Logger): Promise<void> {
  const { serverVersion } = await connection.workflowService.getSystemInfo({});
  const { namespaceInfo } = await connection.workflowService.describeNamespace({ namespace });
  const able = namespaceInfo?.capabilities;
  const answers = { version: serverVersion ?? '', updates: able?.syncUpdate === true && able.asyncUpdate === true };
  for (const line of shortcomings(answers)) log.warn({ serverVersion }, line);
}

/** What a person should know of this server, a sentence each. */
export function shortcomings({ version, updates }: ServerAnswers): string[] {
  const lines: string[] = [];
  if (isOlder(version, OLDEST_SERVER)) {
    lines.push(
      `the Temporal server is ${version}, older than ${OLDEST_SERVER}, which is the oldest that Longwatch is tested with: upgrade it`,
    );
  }
  if (!updates) {
    lines.push(
      'the Temporal server does not accept updates to workflows, so start, pause, resume, config and push --wait will fail: ' +
        'set frontend.enableUpdateWorkflowExecution, or upgrade it',
    );
  }
  return lines;
}

/** False for what is not a version in numbers. */
function isOlder(version: string, than: string): boolean {
  const [mine, other] = [version, than].map((text) => /^v?(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number));
  if (!mine || !other) return false;
  const differs = mine.findIndex((part, i) => part !== other[i]);
  return differs >= 0 && mine[differs]! < other[differs]!;
}
