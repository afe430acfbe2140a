/** The flags of `npm run example -- eve --nodes 3 …`, and of the chat. Read by their `main.ts`. */
import { parseArgs } from 'node:util';
import { didYouMean } from '../../../config/suggest';
import { parseDuration } from '../../../config/values';
import { KINDS, type Kind } from './kinds';

export interface NodesFlags {
  nodes: number;
  members: number;
  /** undefined: nothing bad happens. */
  killEveryMs: number | undefined;
  /** The bad days that may come. */
  kinds: readonly Kind[];
  forMs: number;
  seed: number;
  /** Each node is a host of its own, in a network namespace. */
  hosts: boolean;
}

/** @param things the name of the flag that says how many there are. @throws TypeError where a flag is not one. */
export function readFlags(
  args: string[] = process.argv.slice(2),
  things = 'members',
  thingsByDefault = '5000',
): NodesFlags {
  const { values } = parseArgs({
    args,
    options: {
      nodes: { type: 'string', default: '3' },
      [things]: { type: 'string', default: thingsByDefault },
      'kill-every': { type: 'string' },
      hosts: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      for: { type: 'string', default: '1m' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  });
  const kill = values['kill-every'];
  return {
    hosts: values.hosts,
    nodes: whole('nodes', values.nodes, 1, 16),
    members: whole(things, String(values[things]), 1, 1_000_000),
    killEveryMs: kill === undefined ? undefined : duration('kill-every', kill, 5_000),
    kinds: values.only === undefined ? KINDS.filter(({ isLong }) => !isLong) : values.only.map(kindNamed),
    forMs: duration('for', values.for, 5_000),
    seed: whole('seed', values.seed, 0, 2 ** 31),
  };
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new TypeError(`--${name} must be a whole number from ${least} to ${most}`);
  return value;
}

function kindNamed(name: string): Kind {
  const found = KINDS.find((kind) => kind.name === name);
  if (found) return found;
  const names = KINDS.map((kind) => kind.name);
  throw new TypeError(`--only: there is no '${name}'${didYouMean(name, names) || `; there is: ${names.join(', ')}`}`);
}

/** A number alone is seconds. */
function duration(name: string, text: string, least: number): number {
  const ms = parseDuration(/^\d+$/.test(text) ? `${text}s` : text);
  if (ms === undefined || ms < least)
    throw new TypeError(`--${name} must be a duration of at least ${least / 1_000} s, such as '15s'`);
  return ms;
}
