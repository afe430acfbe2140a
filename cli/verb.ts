/**
 * The common part of all verbs: the flags that say where the servers are, `--json`, and a connection that is closed
 * again. Each file of `verbs/` makes one verb with it and is added by `main.ts`.
 */
import { type Command, InvalidArgumentError } from 'commander';
import type { DataConverter } from '@temporalio/common';
import type { Logger } from 'pino';
import type { EnvironmentFlags } from '../config/environment';
import { LABEL_PATTERN } from '../workflows/lib/options';
import type { Longwatch } from '../client/longwatch';
import { UsageError } from './errors';
import { lazy } from './lazy';

export interface CommonFlags {
  address?: string;
  namespace?: string;
  database?: string;
  json?: boolean;
}

/**
 * @param examples lines such as `longwatch add characters 42`, shown at the end of its help with `npx` before them; one
 *   that begins with another command has its own.
 */
export function verb(program: Command, usage: string, text: string, examples: readonly string[]): Command {
  return program
    .command(usage)
    .description(text)
    .option('--json', 'the result as JSON on stdout')
    .option('--address <host:port>', "Temporal's address (TEMPORAL_ADDRESS)")
    .option('--namespace <name>', "Temporal's namespace (TEMPORAL_NAMESPACE)")
    .option(
      '--database <url>',
      'the database (DATABASE_URL, which may go with READ_ and DIRECT_DATABASE_URL; its password better in PGPASSWORD or PGPASSFILE)',
    )
    .addHelpText(
      'after',
      `\nExamples:\n${examples.map((line) => `  ${line.replace(/^longwatch /, 'npx longwatch ')}`).join('\n')}`,
    );
}

export interface OperatorFlags extends CommonFlags {
  why?: string;
}

/**
 * A verb that changes how Longwatch works, which `longwatch audit` lists. Its action hands `why` on to the library,
 * which writes the row; test/client/audited.test.ts runs each of them and looks for it.
 */
export function operatorVerb(program: Command, usage: string, text: string, examples: readonly string[]): Command {
  return verb(program, usage, text, examples).option('--why <text>', 'the reason, for: longwatch audit');
}

export function environmentFlags(flags: CommonFlags): EnvironmentFlags {
  return { address: flags.address, namespace: flags.namespace, databaseUrl: flags.database };
}

/** Runs with a connection, and closes it whatever happens. */
export async function withLongwatch<T>(
  flags: CommonFlags,
  run: (longwatch: Longwatch) => Promise<T>,
  log?: Logger,
  dataConverter?: DataConverter,
): Promise<T> {
  const converter = dataConverter ?? (await givenConverter());
  const longwatch = await lazy.longwatch().connect({
    ...environmentFlags(flags),
    log,
    dataConverter: converter,
    via: 'cli',
  });
  try {
    return await run(longwatch);
  } finally {
    await longwatch.close();
  }
}

/**
 * The converter of LONGWATCH_DATA_CONVERTER, a module whose default export (or `dataConverter`) it is, as in a config.
 */
export async function givenConverter(): Promise<DataConverter | undefined> {
  const file = process.env.LONGWATCH_DATA_CONVERTER;
  return file ? lazy.load().loadConverter(file) : undefined;
}

// ── Kinds of arguments, refused by commander with the flag's name ──

export function wholeNumber(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

/** A list that may have no line would say that nothing is there. */
export function atLeastOne(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError('It must be a whole number from 1 on.');
  return value;
}

export function positive(text: string): number {
  const value = wholeNumber(text);
  if (value < 1 || value > 1_000) throw new InvalidArgumentError('It must be a whole number, 1 to 1000.');
  return value;
}

export function port(text: string): number {
  const value = wholeNumber(text);
  if (value > 65_535) throw new InvalidArgumentError('It must be a port, 0 to 65535.');
  return value;
}

/**
 * `30s`, `10m`, `2h`, `7d` in milliseconds. A bare number is refused: other flags count in seconds, and a config in
 * milliseconds.
 * @returns undefined: it is not such a time
 */
export function timeSpan(text: string): number | undefined {
  return isBareNumber(text) ? undefined : lazy.values().parseDuration(text);
}

export const isBareNumber = (text: string): boolean => text.trim() !== '' && Number.isFinite(Number(text));

/** @throws UsageError */
export function positiveTimeSpan(text: string, flag: string): number {
  const ms = timeSpan(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new UsageError(`${flag} must be a time with its unit, such as 30s, 10m, 2h or 7d, not '${text}'`);
}

/** Collects a flag that may be repeated. */
export function label(text: string, before: readonly string[] = []): string[] {
  if (!LABEL_PATTERN.test(text)) {
    throw new InvalidArgumentError("It must be a label: letters, digits, '.', '-' and '_', at most 63.");
  }
  return [...new Set([...before, text])];
}

export function seconds(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) <= 0)
    throw new InvalidArgumentError('It must be a number of seconds.');
  return Number(text);
}

/** How long to wait for something: Node's timers would take a month and more for no time at all. */
export function wait(text: string): number {
  const value = seconds(text);
  if (value > 86_400) throw new InvalidArgumentError('It must be a number of seconds, a day (86400) at most.');
  return value;
}

export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
