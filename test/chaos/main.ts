/**
 * `npm run chaos -- [--seed S] [--for T] [--only NAME] [--long]`: the kill tests of `scenarios.ts` again and again on
 * one cluster, until the time is up or something does not hold. The same seed makes the same choices. Exit status: 0
 * all held, 1 something did not, 2 used wrongly.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import { UsageError } from '../../cli/errors';
import { interruption } from '../../cli/interrupt';
import { print, remark } from '../../cli/output';
import { wholeNumber } from '../../cli/verb';
import { didYouMean } from '../../config/suggest';
import { parseDuration } from '../../config/values';
import { findTemporal } from '../../workers/dev/temporal';
import { bundleSources } from '../support/bundle';
import { Cluster } from './cluster';
import { anySeed, choices } from './random';
import { plan, scenarios, shortScenarios, type ChaosScenario } from './scenarios';

interface Flags {
  seed: number;
  for?: number;
  only?: ChaosScenario;
  long?: true;
}

const NAMES = scenarios.map(({ name }) => name);

function program(): Command {
  const list = scenarios.map(({ name, title }) => `  ${name.padEnd(14)}${title}`).join('\n');
  return new Command('npm run chaos --')
    .description('Kills and freezes workers and servers, and checks that what was accepted holds.')
    .option('--seed <n>', 'makes the same choices again (any)', wholeNumber, anySeed())
    .option('--for <duration>', "begins nothing new after this long, such as '10m' (each scenario once)", duration)
    .option('--only <scenario>', 'this one alone', scenarioNamed)
    .option('--long', 'the outages of their full length as well, a minute or so each')
    .exitOverride()
    .showHelpAfterError('(--help shows what can be given)')
    .addHelpText('after', `\nScenarios:\n${list}`);
}

function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0) throw new UsageError(`--for must be a duration such as '10m', not '${text}'`);
  return ms;
}

function scenarioNamed(name: string): ChaosScenario {
  const found = scenarios.find((scenario) => scenario.name === name);
  const hint = didYouMean(name, NAMES) || `; there is: ${NAMES.join(', ')}`;
  if (!found) throw new UsageError(`there is no scenario '${name}'${hint}`);
  return found;
}

async function chaos({ seed, for: forMs, only, long }: Flags): Promise<void> {
  const signal = interruption('Ending the servers …');
  remark(`seed ${seed}`);
  await findTemporal({ onProgress: remark });
  process.env.LONGWATCH_TEST_BUNDLE = await bundleSources();
  const cluster = await Cluster.start();
  const began = Date.now();
  const order = choices(seed);
  const chosen = only ? [only] : long ? scenarios : shortScenarios;
  try {
    for (let round = 0; round === 0 || Date.now() - began < (forMs ?? 0); round++) {
      for (const step of plan(seed, round, order, chosen)) {
        if (signal.aborted || (forMs !== undefined && Date.now() - began >= forMs)) return;
        await once(cluster, step.scenario, step.seed, round, signal);
      }
    }
  } catch (error) {
    if (!signal.aborted) remark(`to repeat it: npm run chaos -- --seed ${seed}${forMs ? ` --for ${forMs}ms` : ''}`);
    throw error;
  } finally {
    await cluster.close();
  }
}

async function once(
  cluster: Cluster,
  { name, limitMs, run }: ChaosScenario,
  seed: number,
  round: number,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now();
  const ending = new AbortController();
  const limit = delay(limitMs, undefined, { signal: AbortSignal.any([signal, ending.signal]) }).then(() => {
    throw new Error(`not over within ${limitMs / 1_000} s`);
  });
  try {
    await Promise.race([run(cluster, choices(seed), round), limit]);
    await print(`ok  round ${round}  ${name}  ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  } catch (error) {
    if (!signal.aborted) await print(`NOT round ${round}  ${name}  ${(error as Error).message}`);
    throw error;
  } finally {
    limit.catch(() => undefined);
    ending.abort();
  }
}

/** @returns the exit status. */
async function main(args: readonly string[]): Promise<number> {
  try {
    await program()
      .action((flags: Flags) => chaos(flags))
      .parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UsageError) remark(error.message);
    else if (!(error instanceof Error && error.name === 'AbortError')) remark(String((error as Error).stack));
    return error instanceof UsageError ? 2 : 1;
  }
}

void main(process.argv.slice(2)).then((status) => process.exit(status));
