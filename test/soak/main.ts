/**
 * `npm run soak -- [PART…]`: what is too long for CI. Each part prints a line for each thing it tried; the exit status
 * is 0 only if all of them held.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '../../cli/errors';
import { runGrounds } from './grounds';
import { suiteOnNewServer } from './newest-server';
import { badDaysInProduction } from './production';
import { simulations } from './simulations';

const ROOT = path.join(__dirname, '..', '..');

const USAGE = `npm run soak -- [PART…] [--histories N] [--seed S] [--for T] [--members M] [--only WORD]

  simulations   every simulated world through N histories (100,000) under the seed S (of the day), each in the
                measure that CI has of it; --only job/world is one of them
  chaos         the kill tests again and again for T (1h), see npm run chaos -- --help
  nodes         five minutes of bad days of three nodes with M ids (5000), as processes, then as hosts of their own (as root)
  ground        the two commands on every ground: users, folders, ports, versions of Node, package managers (as root)
  server        the test suite on the newest Temporal server, built as a Go module
  production    the bad days of four nodes with M ids (2000), a rolling restart among them, on that server with PostgreSQL as its store
Without a part: all of them, in this order. --only WORD: those worlds, those grounds, or those test files on the newest
server, whose name has it.`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function run(command: string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  const child = spawn(command[0]!, command.slice(1), { cwd: ROOT, env: { ...process.env, ...env }, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0 ? 0 : 1;
}

/** @returns 0 when all of it holds, on one machine and on three */
async function nodes(members: string, seed: readonly string[]): Promise<number> {
  const days = ['--nodes', '3', '--members', members, '--kill-every', '15s', '--for', '5m', ...seed];
  const example = ['npm', 'run', 'example', '--', 'eve', ...days];
  const together = await run(example);
  if (process.platform === 'linux' && process.getuid?.() === 0) return together + (await run([...example, '--hosts']));
  say('not tried as hosts of their own: that needs root, on Linux');
  return together;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      histories: { type: 'string', default: '100000' },
      seed: { type: 'string' },
      for: { type: 'string', default: '1h' },
      members: { type: 'string' },
      only: { type: 'string', multiple: true },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    say(USAGE);
    return 0;
  }
  const seed: string[] = values.seed === undefined ? [] : ['--seed', values.seed];
  const parts: Record<string, () => Promise<number>> = {
    simulations: () =>
      run(['npx', 'jest', '--runInBand', '--runTestsByPath', ...simulations(values.only ?? [])], {
        LONGWATCH_HISTORIES: values.histories,
        ...(values.seed === undefined ? {} : { LONGWATCH_SEED: values.seed }),
      }),
    chaos: () => run(['npm', 'run', 'chaos', '--', '--for', values.for, '--long', ...seed]),
    nodes: () => nodes(values.members ?? '5000', seed),
    ground: () => runGrounds(values.only ?? [], say),
    server: () => suiteOnNewServer(values.only ?? [], say),
    production: () => badDaysInProduction(values.members ?? '2000', say),
  };
  // None at all would hold.
  if (!/^[1-9]\d{0,8}$/.test(values.histories)) {
    process.stderr.write(`--histories must be a whole number above 0, not '${values.histories}'\n`);
    return 2;
  }
  const unknown = positionals.find((part) => !Object.hasOwn(parts, part));
  if (unknown !== undefined) {
    process.stderr.write(`there is no part '${unknown}'\n\n${USAGE}\n`);
    return 2;
  }
  let failed = 0;
  for (const part of positionals.length > 0 ? positionals : Object.keys(parts)) {
    say(`── ${part}`);
    const bad = await parts[part]!();
    say(`${part}: ${bad === 0 ? 'holds' : 'FAILED'}`);
    failed += bad;
  }
  return failed === 0 ? 0 : 1;
}

main().then(
  (status) => (process.exitCode = status),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    // A flag that is not known comes from parseArgs.
    const isUsage = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
    process.exitCode = isUsage ? 2 : 1;
  },
);
