/**
 * The vocabulary of every options table: what one row of it says, how one change is written, and why a change is
 * refused. Used by the tables of trackers, buffers, jobs and durable activities, and by the config that compiles them.
 */
import { DAY, MINUTE, SECOND } from './time';

/** One change of `config --set`: the path as the user writes it, and the compiled value. */
export interface OptionChange {
  /** For example `operations.location.everyMs`. */
  path: string;
  /** Null takes the change back, so the definition's value holds again. */
  value: number | boolean | string | null;
}

/** Values that were set by hand, by path. */
export type OptionChanges = Record<string, OptionChange['value']>;

export type OptionKind = 'duration' | 'integer' | 'number' | 'boolean' | 'name' | 'word' | 'label';

/** One row of the options table. */
export interface OptionSpec {
  /** As the user writes it: `every`, `stagger.window`, `gate.every`. */
  name: string;
  /** The path of the compiled value: `everyMs`, `stagger.windowMs`. */
  path: string;
  kind: OptionKind;
  /** Compiled default; undefined: the option is required; a string: how it is derived, for the docs. */
  default?: number | boolean | string | null;
  derived?: string;
  /** Words that may stand in place of a number; of a `word`, all that there are. */
  words?: readonly string[];
  /** Smallest and largest compiled value. */
  min?: number;
  max?: number;
  text: string;
}

/** Names of trackers and operations: they appear in workflow ids, metrics labels and option paths. */
export const NAME_PATTERN = /^[a-z][a-zA-Z0-9_-]{0,62}$/;

/** Labels of nodes: they appear in the names of task queues, in metrics and in tables. */
export const LABEL_PATTERN = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/;

type Refusal = (spec: OptionSpec, value: unknown) => string | undefined;

const whole =
  (what: string, unit: string): Refusal =>
  (spec, value) => {
    if (typeof value === 'string' && spec.words?.includes(value)) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value)) return outOfBounds(spec, value, unit);
    const words = spec.words?.map((word) => `, or '${word}'`).join('') ?? '';
    return `${spec.name} must be ${what}${words}`;
  };

function outOfBounds({ name, min, max }: OptionSpec, value: number, unit = ''): string | undefined {
  if (min !== undefined && value < min) return `${name} must be at least ${min}${unit}`;
  if (max !== undefined && value > max) return `${name} must be at most ${max}${unit}`;
  return undefined;
}

/** By kind: why a compiled value may not stand, or undefined where it may. */
const REFUSALS: Readonly<Record<OptionKind, Refusal>> = {
  duration: whole('a duration', ' ms'),
  integer: whole('a whole number', ''),
  number: (spec, value) => {
    if (typeof value !== 'number' || !Number.isFinite(value)) return `${spec.name} must be a number`;
    return outOfBounds(spec, value);
  },
  boolean: ({ name }, value) => (typeof value === 'boolean' ? undefined : `${name} must be true or false`),
  name: ({ name }, value) =>
    typeof value === 'string' && NAME_PATTERN.test(value) ? undefined : `${name} must name an operation`,
  word: ({ name, words = [] }, value) =>
    typeof value === 'string' && words.includes(value)
      ? undefined
      : `${name} must be ${words.map((word) => `'${word}'`).join(', ')}`,
  label: ({ name }, value) =>
    typeof value === 'string' && LABEL_PATTERN.test(value)
      ? undefined
      : `${name} must be a label (letters, digits, '.', '-' and '_', at most 63)`,
};

/** Why a compiled value may not stand at an option, or undefined when it may. */
export function refusal(spec: OptionSpec, value: unknown): string | undefined {
  return REFUSALS[spec.kind](spec, value);
}

/** The values set by hand after these changes too: each lies over what was there, or takes it back (`value: null`). */
export function changesAfter(before: OptionChanges, changes: readonly OptionChange[]): OptionChanges {
  const after = { ...before };
  for (const { path, value } of changes) {
    if (value === null) delete after[path];
    else after[path] = value;
  }
  return after;
}

/** How the changes of one room are laid over its options. */
export interface LayingOver<Options> {
  /** Everything that is wrong with a change: one that may not stand (any more) is left out. */
  problems: (options: Options, change: OptionChange) => string[];
  /** The compiled value of one that was set by hand. @default itself */
  compiled?: (path: string, value: unknown) => unknown;
  /** The object that is made where there is none for a path to lead through. @default an empty one */
  missing?: (key: string) => object;
}

/** A copy of the options with what was set by hand laid over them. */
export function laidOver<Options extends object>(
  options: Options,
  changes: Readonly<OptionChanges>,
  { problems, compiled = (_path, value) => value, missing = () => ({}) }: LayingOver<Options>,
): Options {
  const result = JSON.parse(JSON.stringify(options)) as Options;
  for (const [path, value] of Object.entries(changes)) {
    if (value === null || problems(options, { path, value }).length > 0) continue;
    const keys = path.split('.');
    const last = keys.pop()!;
    let at = result as Record<string, unknown>;
    for (const key of keys) {
      if (at[key] === null || typeof at[key] !== 'object') at[key] = missing(key);
      at = at[key] as Record<string, unknown>;
    }
    at[last] = compiled(path, value);
  }
  return result;
}

/** The rows for the waits between attempts, the same wherever code of the user is tried again. */
export function retryWaits({ jitter }: { jitter: boolean }): readonly OptionSpec[] {
  return [
    {
      name: 'retry.base',
      path: 'retry.baseMs',
      kind: 'duration',
      default: SECOND,
      min: 1,
      max: DAY,
      text: 'The wait before the second attempt. Exponential: base × 2^(attempt - 1).',
    },
    {
      name: 'retry.cap',
      path: 'retry.capMs',
      kind: 'duration',
      default: 5 * MINUTE,
      min: 1,
      max: 7 * DAY,
      text: 'No wait is longer, jitter included.',
    },
    {
      name: 'retry.jitter',
      path: 'retry.jitter',
      kind: 'boolean',
      default: jitter,
      text: 'Spread each wait over its upper half.',
    },
  ];
}
