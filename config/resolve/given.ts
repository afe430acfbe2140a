/**
 * How a definition is read: its values may be anything, and each problem is noted with the path where it stands. Used
 * by the other files of this folder; what they have read goes to `config.ts`, which throws all problems at once.
 */
import { didYouMean } from '../suggest';
import { compileValue, type OptionValue } from '../values';
import { isObject } from '../../workflows/lib/json';
import { NAME_PATTERN, type OptionSpec } from '../../workflows/lib/options';

/** The source of an option's value. `config` shows it, and adds `set` for what was changed by hand. */
export type OptionSource = 'default' | 'defaults' | 'definition';

export type Given = Record<string, unknown>;

/** The rule for names, for messages. `NAME_PATTERN` says the same. */
export const NAME_RULE = 'a name (a small letter, then letters, digits, - or _, at most 63 characters)';

export interface ReaderSetup {
  /** The path of the object, with the dot behind it: `trackers.characters.`. Empty for the config itself. */
  at?: string;
  problems: string[];
  /** The part of `defaults` that is for it. */
  defaults?: Given;
  /** Gets who gave each option, by the option's compiled path. */
  sources?: Record<string, OptionSource>;
}

/** Reads one object of a definition. It carries all that a step needs, so that the steps only say what they read. */
export class Reader {
  readonly at: string;
  readonly problems: string[];
  readonly defaults: Given;
  readonly sources: Record<string, OptionSource>;

  constructor(
    readonly given: Given,
    setup: ReaderSetup,
  ) {
    this.at = setup.at ?? '';
    this.problems = setup.problems;
    this.defaults = setup.defaults ?? {};
    this.sources = setup.sources ?? {};
  }

  /** Notes what is wrong. @param text begins with the key: `every is required`. */
  problem(text: string): void {
    this.problems.push(`${this.at}${text}`);
  }

  /** Refuses every key that is not one of these. */
  onlyKeys(known: readonly string[]): void {
    checkKeys(this.given, known, this.at, this.problems);
  }

  /** Refuses what is there and is not a function. */
  optionalFunction(key: string): void {
    if (this.given[key] !== undefined && typeof this.given[key] !== 'function') {
      this.problem(`${key} must be a function`);
    }
  }

  /** The object under a key; an empty one where nothing is there, or something else, which is a problem. */
  object(key: string): Given {
    return objectAt(this.given, key, this.at, this.problems);
  }

  /** A reader of the object under a key. Its options are written into the same `sources`. */
  inside(key: string, defaults: Given = {}): Reader {
    return this.over(key, this.object(key), defaults);
  }

  /** The same for an object that is known already. @param key may have several steps: `operations.location` */
  over(key: string, given: Given, defaults: Given = {}): Reader {
    return new Reader(given, { at: `${this.at}${key}.`, problems: this.problems, defaults, sources: this.sources });
  }

  /** The first value that is there under a key: of the definition, else of `defaults`. */
  first(key: string): { source: Exclude<OptionSource, 'default'>; value: unknown } | undefined {
    for (const [source, layer] of [
      ['definition', this.given],
      ['defaults', this.defaults],
    ] as const) {
      const value = read(layer, key);
      if (value !== undefined) return { source, value };
    }
    return undefined;
  }

  /**
   * An option: the first value that is there of the definition, `defaults` and what is built in; notes who gave it.
   * @param key where it stands in this object
   * @param path under which its source is noted
   * @returns compiled; null where nothing is there
   */
  option(spec: OptionSpec, key = spec.name, path = spec.path): OptionValue | null {
    const first = this.first(key);
    this.sources[path] = first?.source ?? 'default';
    if (!first) return spec.default ?? null;
    const compiled = compileValue(spec, first.value);
    if ('value' in compiled) return compiled.value;
    // A mistake in `defaults` is reported once, by the check of `defaults`, not once a definition.
    if (first.source === 'definition') this.problem(compiled.problem);
    return spec.default ?? 0;
  }

  /** Every option that somebody gave, and who. Kept with the options: `config` says it without the config module. */
  givenSources(): Record<string, 'defaults' | 'definition'> {
    return Object.fromEntries(
      Object.entries(this.sources).filter(
        (entry): entry is [string, 'defaults' | 'definition'] => entry[1] !== 'default',
      ),
    );
  }
}

/** A list of definitions, as a config has it. */
interface NamedList {
  /** The key of the list: `buffers`. */
  at: string;
  /** How one is made, for messages: `defineBuffer({ … })`. */
  made: string;
  /** The names that are taken; those of the list join them. */
  taken: Set<string>;
  /** The problem of a name that is taken: `there are two activities of that name`. */
  twice: (name: string) => string;
}

/** Commands name a tracker, a buffer or a job by its name alone: `longwatch pause NAME`. */
export const takenByUnit = (name: string): string => `there is another tracker, buffer or job named '${name}'`;

/** The objects of a list that have a name, each with it. Each of the others is a problem. */
export function namedOnes(
  list: readonly unknown[],
  { at, made, taken, twice }: NamedList,
  problems: string[],
): { name: string; given: Given }[] {
  return list.flatMap((given, index) => {
    if (!isObject(given)) {
      problems.push(`${at}[${index}] must be an object: ${made}`);
      return [];
    }
    const { name } = given;
    if (typeof name !== 'string' || !NAME_PATTERN.test(name)) {
      problems.push(`${at}[${index}].name must be ${NAME_RULE}, not ${JSON.stringify(name) ?? 'missing'}`);
      return [];
    }
    if (taken.has(name)) problems.push(`${at}.${name}: ${twice(name)}`);
    taken.add(name);
    return [{ name, given }];
  });
}

/** Notes every key that is not one of these. @param at the path of the object, with the dot behind it */
function checkKeys(given: Given, known: readonly string[], at: string, problems: string[]): void {
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) problems.push(`${at}${key} is not an option${didYouMean(key, known)}`);
  }
}

/** The object under a key; an empty one where nothing is there, or something else, which is a problem. */
function objectAt(given: Given, key: string, at: string, problems: string[]): Given {
  const value = given[key];
  if (value === undefined) return {};
  if (isObject(value)) return value;
  problems.push(`${at}${key} must be an object`);
  return {};
}

/** `read({ stagger: { base: 1 } }, 'stagger.base')` is 1; undefined where something on the way is missing. */
export function read(given: Given, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), given);
}

export const without = (keys: readonly string[], ...left: string[]): string[] =>
  keys.filter((key) => !left.includes(key));
