/**
 * The vocabulary of every options table: what one row of it says, how one change is written, and why a change is
 * refused. Used by the tables of trackers, buffers, jobs and durable activities, and by the config that compiles them.
 */

/** One change of `config --set`: the path as the user writes it, and the compiled value. */
export interface OptionChange {
  /** For example `operations.location.everyMs`. */
  path: string;
  /** Null takes the change back, so the definition's value holds again. */
  value: number | boolean | string | null;
}

export type OptionKind = 'duration' | 'integer' | 'number' | 'boolean' | 'name' | 'word';

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

/** Why a compiled value may not stand at an option, or undefined when it may. */
export function refusal(spec: OptionSpec, value: unknown): string | undefined {
  switch (spec.kind) {
    case 'boolean':
      return typeof value === 'boolean' ? undefined : `${spec.name} must be true or false`;
    case 'name':
      return typeof value === 'string' && NAME_PATTERN.test(value) ? undefined : `${spec.name} must name an operation`;
    case 'word':
      return typeof value === 'string' && spec.words?.includes(value)
        ? undefined
        : `${spec.name} must be ${(spec.words ?? []).map((word) => `'${word}'`).join(', ')}`;
    case 'number': {
      if (typeof value !== 'number' || !Number.isFinite(value)) return `${spec.name} must be a number`;
      if (spec.min !== undefined && value < spec.min) return `${spec.name} must be at least ${spec.min}`;
      if (spec.max !== undefined && value > spec.max) return `${spec.name} must be at most ${spec.max}`;
      return undefined;
    }
    default: {
      const unit = spec.kind === 'duration' ? ' ms' : '';
      if (typeof value === 'string' && spec.words?.includes(value)) return undefined;
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
        const words = spec.words?.map((word) => `, or '${word}'`).join('') ?? '';
        return `${spec.name} must be ${spec.kind === 'duration' ? 'a duration' : 'a whole number'}${words}`;
      }
      if (spec.min !== undefined && value < spec.min) return `${spec.name} must be at least ${spec.min}${unit}`;
      if (spec.max !== undefined && value > spec.max) return `${spec.name} must be at most ${spec.max}${unit}`;
      return undefined;
    }
  }
}
