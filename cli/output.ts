/** The output of the verbs: results on stdout, everything else on stderr, so that a pipe gets results only. */
import { once } from 'node:events';
import type { Logger } from 'pino';
import { lazy } from './lazy';
import { inline, plain, plainJson, plainLogLine } from './plain';
import { DAY_MS } from '../config/values';

/** One line (or block) of a result. Waits when the reader of a pipe is slower. */
export function print(text: string): Promise<void> {
  return write(plain(text));
}

async function write(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
}

/** An id on its line. A file or a pipe gets it as it is: from there it may come back. */
export function printId(id: string): Promise<void> {
  return write(process.stdout.isTTY ? plain(id) : id);
}

/** A piece of a result as JSON that is written as it is read. */
export function printJsonPart(json: string): Promise<void> {
  return write(plainJson(json));
}

/** A result as JSON on one line. */
export function printJson(value: unknown): Promise<void> {
  // JSON has no infinity: a percentile above the last bucket is a large number to whoever reads it.
  const finite = (_key: string, inner: unknown) => (inner === Infinity ? Number.MAX_SAFE_INTEGER : inner);
  return write(plainJson(JSON.stringify(value, finite)));
}

/** A remark for the person at the terminal. */
export function remark(text: string): void {
  process.stderr.write(`${plain(text)}\n`);
}

export interface Column {
  head: string;
  /** Numbers. */
  right?: boolean;
}

/** A column of numbers. */
export const right = (head: string): Column => ({ head, right: true });

/** Rows under their heads, no lines between; columns as wide as they need. */
export function table(columns: readonly Column[], rows: readonly (string | number | null)[][]): string {
  const Table = lazy.table();
  const none = '';
  const made = new Table({
    head: columns.map((column) => column.head),
    colAligns: columns.map((column) => (column.right ? 'right' : 'left')),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: {
      top: none, 'top-mid': none, 'top-left': none, 'top-right': none,
      bottom: none, 'bottom-mid': none, 'bottom-left': none, 'bottom-right': none,
      left: none, 'left-mid': none, mid: none, 'mid-mid': none, right: none, 'right-mid': none, middle: none,
    }, // prettier-ignore
  });
  for (const row of rows)
    made.push(row.map((cell) => (cell === null ? '-' : typeof cell === 'string' ? inline(cell) : cell)));
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** As much of a text as a line has room for. */
export const short = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text);

export const count = (value: number): string => value.toLocaleString('en-US');

export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** `850 ms`, `4.2 s`, `3 min`, `2 h`, `5 d`. */
export function age(milliseconds: number | null): string {
  if (milliseconds === null) return '-';
  if (!Number.isFinite(milliseconds)) return '> 1 d';
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1_000).toFixed(1)} s`;
  if (milliseconds < 3_600_000) return `${Math.round(milliseconds / 60_000)} min`;
  if (milliseconds < 172_800_000) return `${Math.round(milliseconds / 3_600_000)} h`;
  return `${Math.round(milliseconds / DAY_MS)} d`;
}

/** Milliseconds in a table: one decimal while that says something. */
export function millis(value: number | null): string {
  if (value === null) return '-';
  if (!Number.isFinite(value)) return '> 97,000';
  return value < 10 ? value.toFixed(1) : count(Math.round(value));
}

/** The log of the long-running verbs: on stderr, as JSON lines, or readable on a terminal. */
export function logger(level: string): Logger {
  const { pino } = lazy.pino();
  const options = { level, base: null, serializers: lazy.log().serializers };
  if (!process.stderr.isTTY) {
    return pino({ ...options, hooks: { streamWrite: plainJson } }, pino.destination({ fd: 2, sync: true }));
  }
  return pino({
    ...options,
    hooks: { streamWrite: plainLogLine },
    transport: { target: 'pino-pretty', options: { destination: 2, translateTime: 'HH:MM:ss', singleLine: true } },
  });
}
