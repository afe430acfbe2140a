/**
 * Records histories of the workflows as they run on a real server, for `replay.test.ts`: `npx tsx test/replay/record.ts jobs`, or
 * several parts, or all without a name. To be run for a part when its workflows' commands change on purpose and nothing runs that
 * the old histories stand for; else they stay, since they are what replays must be able to take. Names of machines and traces
 * of their files are left out.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { Stack } from '../support/stack';
import { historyToJson } from './history-json';
import type { Part } from './part';
import { jobs } from './record-jobs';
import { trackers } from './record-trackers';

const HISTORIES = path.join(__dirname, 'histories');
const PARTS: Record<string, Part> = { trackers, jobs };

async function record(part: Part): Promise<void> {
  const stack = await Stack.start();
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  try {
    await stack.worker(part.config, { nodeName: 'node' });
    const temporal = new Client({ connection });
    await part.live(stack, temporal);
    await save(temporal, part.prefixes);
  } finally {
    await connection.close();
    await stack.close();
  }
}

const fileName = (id: string): string => id.replaceAll('/', '-');

/** Of each workflow the first run, the longest, and the last. */
async function save(temporal: Client, prefixes: readonly string[]): Promise<void> {
  mkdirSync(HISTORIES, { recursive: true });
  const isOfPart = (file: string) => prefixes.some((prefix) => file.startsWith(fileName(prefix)));
  for (const file of readdirSync(HISTORIES).filter(isOfPart)) rmSync(path.join(HISTORIES, file));
  const byId = new Map<string, { runId: string; startedAt: number; events: number }[]>();
  for await (const { workflowId, runId, startTime, historyLength } of temporal.workflow.list()) {
    byId.set(workflowId, [
      ...(byId.get(workflowId) ?? []),
      { runId, startedAt: startTime.getTime(), events: historyLength },
    ]);
  }
  for (const [workflowId, runs] of byId) {
    runs.sort((a, b) => a.startedAt - b.startedAt);
    const longest = runs.reduce((a, b) => (b.events > a.events ? b : a));
    // Pools beyond the first two live as the second does.
    if (/\/([2-9]|\d\d)$/.test(workflowId)) continue;
    const chosen = new Map([
      ['first', runs[0]!],
      ['longest', longest],
      ['last', runs.at(-1)!],
    ]);
    const saved = new Set<string>();
    for (const [which, { runId }] of chosen) {
      if (saved.has(runId)) continue;
      saved.add(runId);
      const history = await temporal.workflow.getHandle(workflowId, runId).fetchHistory();
      const file = path.join(HISTORIES, `${fileName(workflowId)}-${which}.json`);
      writeFileSync(file, `${JSON.stringify({ workflowId, history: withoutPlaces(historyToJson(history)) })}\n`);
      process.stdout.write(`${path.relative(process.cwd(), file)}: ${history.events!.length} events\n`);
    }
  }
}

function withoutPlaces(history: unknown): unknown {
  return JSON.parse(JSON.stringify(history), (key, value: unknown) => {
    if (key === 'identity') return 'someone';
    if (key === 'stackTrace') return '';
    return value;
  }) as unknown;
}

/** @returns the exit status. */
async function main(names: string[]): Promise<number> {
  const unknown = names.filter((name) => !(name in PARTS));
  if (unknown.length > 0) {
    process.stderr.write(`there is no part ${unknown.join(', ')}; there is: ${Object.keys(PARTS).join(', ')}\n`);
    return 2;
  }
  for (const name of names.length > 0 ? names : Object.keys(PARTS)) await record(PARTS[name]!);
  return 0;
}

main(process.argv.slice(2)).then(
  (status) => (process.exitCode = status),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exitCode = 1;
  },
);
