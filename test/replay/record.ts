/**
 * Records histories of the workflows as they run on a real server, for `replay.test.ts`:
 * `npx tsx test/replay/record.ts PART…`, a part being `trackers`, `buffers` or `jobs`. To be run when a workflow's
 * commands change on purpose and nothing runs that the old histories stand for; else they stay, since they are what
 * replays must be able to take. Names of machines and traces of their files are left out.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { Stack } from '../support/stack';
import { historyToJson } from './history-json';
import { buffers } from './record-buffers';
import { jobs } from './record-jobs';
import { trackers } from './record-trackers';
import type { ConfigDefinition } from '../../config/define/config';

/** A part of what is recorded. */
export interface Part {
  config: ConfigDefinition;
  /** The workflow ids that are its own. */
  owns: RegExp;
  /** Has everything said and done once that its workflows' code is for. */
  live(stack: Stack, temporal: Client): Promise<void>;
}

const HISTORIES = path.join(__dirname, 'histories');
const PARTS: Record<string, Part> = { trackers, buffers, jobs };

async function record(names: string[]): Promise<void> {
  const unknown = names.find((name) => !(name in PARTS));
  if (names.length === 0 || unknown !== undefined) {
    throw new Error(`say which to record anew: ${Object.keys(PARTS).join(', ')}`);
  }
  for (const name of names) await recordPart(PARTS[name]!);
}

async function recordPart(part: Part): Promise<void> {
  const stack = await Stack.start({ own: true });
  const connection = await Connection.connect({ address: stack.servers.temporalAddress });
  try {
    await stack.worker(part.config, { nodeName: 'node' });
    const temporal = new Client({ connection });
    await part.live(stack, temporal);
    await save(temporal, part);
  } finally {
    await connection.close();
    await stack.close();
  }
}

/** Keeps the first run, the longest and the last of each workflow. */
async function save(temporal: Client, { owns }: Part): Promise<void> {
  mkdirSync(HISTORIES, { recursive: true });
  for (const file of readdirSync(HISTORIES)) if (owns.test(file)) rmSync(path.join(HISTORIES, file));
  const byId = new Map<string, { runId: string; startedAt: number; events: number }[]>();
  for await (const { workflowId, runId, startTime, historyLength } of temporal.workflow.list()) {
    if (!owns.test(workflowId)) continue;
    byId.set(workflowId, [
      ...(byId.get(workflowId) ?? []),
      { runId, startedAt: startTime.getTime(), events: historyLength },
    ]);
  }
  for (const [workflowId, runs] of byId) {
    runs.sort((a, b) => a.startedAt - b.startedAt);
    const longest = runs.reduce((a, b) => (b.events > a.events ? b : a));
    // Pools and shards beyond the first two live as the second does.
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
      const file = path.join(HISTORIES, `${workflowId.replaceAll('/', '-')}-${which}.json`);
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

void record(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
