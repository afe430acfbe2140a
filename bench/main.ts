/**
 * `npm run bench -- SCENARIO… [--peers] [--json] [--runs N]`: reads the arguments, runs the scenarios
 * (`harness/runner.ts`) and prints what they read. Exit status: 0 measured (a missed target is shown, and no error), 1
 * failed, 2 used wrongly.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { UsageError } from '../cli/errors';
import { interruption } from '../cli/interrupt';
import { print, printJson, remark } from '../cli/output';
import { wholeNumber } from '../cli/verb';
import { bundleSources } from '../test/support/bundle';
import { didYouMean } from '../config/suggest';
import { findTemporal } from '../workers/dev/temporal';
import { readCatalogue } from './harness/catalogue';
import { render, type Result } from './harness/report';
import { runScenario } from './harness/runner';
import type { Scenario } from './harness/scenario';

interface Flags {
  peers?: boolean;
  json?: boolean;
  runs?: number;
}

function program(catalogue: ReadonlyMap<string, Scenario>): Command {
  const widest = Math.max(...[...catalogue.keys()].map((name) => name.length));
  const list = [...catalogue].map(([name, { title }]) => `  ${name.padEnd(widest)}  ${title}`).join('\n');
  return new Command('npm run bench --')
    .description('Measures Longwatch on this machine, beside the bare limit or a peer in the same run.')
    .argument('<scenario...>', 'which ones, or all')
    .option('--peers', 'also measure the peers, where a scenario has some')
    .option('--json', 'one object a line on stdout')
    .option('--runs <n>', 'how often each is run; the median is told (each has its own number)', atLeastOnce)
    .exitOverride()
    .showHelpAfterError('(--help lists the scenarios)')
    .addHelpText('after', `\nScenarios:\n${list}`);
}

function atLeastOnce(text: string): number {
  const runs = wholeNumber(text);
  if (runs < 1) throw new UsageError('--runs must be at least 1');
  return runs;
}

function choose(given: readonly string[], catalogue: ReadonlyMap<string, Scenario>): Map<string, Scenario> {
  const names = given.includes('all') ? [...catalogue.keys()] : given;
  return new Map(
    names.map((name) => {
      const scenario = catalogue.get(name);
      if (!scenario) {
        const known = [...catalogue.keys()];
        const hint = didYouMean(name, known) || `; there is: ${known.join(', ')}`;
        throw new UsageError(`there is no scenario '${name}'${hint}`);
      }
      return [name, scenario];
    }),
  );
}

async function measure(scenarios: ReadonlyMap<string, Scenario>, flags: Flags): Promise<void> {
  const signal = interruption('Ending the servers …');
  await findTemporal({ onProgress: remark });
  const bundle = await bundleSources();
  process.env.LONGWATCH_TEST_BUNDLE = bundle;
  const all: Result[] = [];
  const notes: string[] = [];
  try {
    for (const [name, scenario] of scenarios) {
      const ran = await runScenario(name, scenario, { ...flags, peers: flags.peers === true, signal, say: remark });
      all.push(...ran.results);
      notes.push(...ran.notes);
      // As they come: who has waited for half an hour keeps what there is.
      if (flags.json) for (const result of ran.results) await printJson(result);
    }
  } finally {
    if (flags.json) notes.forEach(remark);
    else if (all.length > 0) await print([render(all), ...notes].join('\n\n'));
    await rm(path.dirname(bundle), { recursive: true, force: true });
  }
}

/** @returns the exit status. */
async function main(args: readonly string[]): Promise<number> {
  try {
    const catalogue = readCatalogue();
    const made = program(catalogue);
    await made
      .action((given: string[], flags: Flags) => measure(choose(given, catalogue), flags))
      .parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof Error && error.name === 'AbortError') return 130;
    remark(error instanceof UsageError ? error.message : String((error as Error).stack));
    return error instanceof UsageError ? 2 : 1;
  }
}

void main(process.argv.slice(2)).then((status) => process.exit(status));
