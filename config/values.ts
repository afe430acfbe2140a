/**
 * One option's value, from what a user writes to what is stored: durations become whole milliseconds. Called by
 * `resolve/given.ts` for a config module and by `change.ts` for `config --set`; both then hold it against its bounds.
 */
import ms, { type StringValue } from 'ms';
import { refusal, type OptionSpec } from '../workflows/lib/options';

export type OptionValue = number | boolean | string;

/** The compiled value, or what is wrong with it (`every must be at least 50 ms, and '10ms' is 10`). */
export function compileValue(spec: OptionSpec, given: unknown): { value: OptionValue } | { problem: string } {
  const value = spec.kind === 'duration' && typeof given === 'string' ? parseDuration(given) : given;
  const problem = refusal(spec, value);
  if (problem === undefined) return { value: value as OptionValue };
  const example = spec.kind === 'duration' ? " (write '500ms', '1s', '10m', or a number of milliseconds)" : '';
  const bounds = typeof value === 'number' && (spec.kind === 'number' || Number.isSafeInteger(value));
  return { problem: `${problem}${bounds ? '' : example}, not ${show(given)}` };
}

/** The same for a value that is set by hand: a shell gives text only. */
export function compileByHand(spec: OptionSpec, given: unknown): ReturnType<typeof compileValue> {
  return compileValue(spec, typeof given === 'string' ? fromText(spec, given) : given);
}

/** Text that reads as a number or a truth value becomes one where the option wants it. */
function fromText({ kind }: OptionSpec, text: string): OptionValue {
  if (kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  const digits = text.replaceAll('_', '');
  if (kind === 'number' && /^-?\d+(\.\d+)?$/.test(digits)) return Number(digits);
  return kind === 'integer' && /^-?\d+$/.test(digits) ? Number(digits) : text;
}

/** Milliseconds, or undefined when the text is not a duration. */
export function parseDuration(text: string): number | undefined {
  if (text.trim() === '' || text.length > 100) return undefined;
  const value = ms(text.trim() as StringValue) as number | undefined;
  return value === undefined || Number.isNaN(value) ? undefined : Math.round(value);
}

/** A compiled value as a user would write it: `1s`, `250ms`, `true`. */
export function formatValue(spec: OptionSpec | undefined, value: OptionValue | null | undefined): string {
  if (value === null || value === undefined) return 'none';
  return spec?.kind === 'duration' && typeof value === 'number' ? formatDuration(value) : String(value);
}

export const DAY_MS = 86_400_000;

/** The shortest exact spelling: 90000 is `90s`, 600000 is `10m`. */
export function formatDuration(milliseconds: number): string {
  const units: [string, number][] = [
    ['d', DAY_MS],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ];
  if (milliseconds === 0) return '0';
  const unit = units.find(([, size]) => milliseconds % size === 0);
  return unit ? `${milliseconds / unit[1]}${unit[0]}` : `${milliseconds}ms`;
}

/** A refused value, short enough for a message. */
function show(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  const text = typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
