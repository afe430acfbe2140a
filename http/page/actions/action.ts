/**
 * An action of an operator as data: what it will do, in figures, the line of the command line that does the same, how
 * it is carried out, and how it is undone. The files beside this one make them; `parts/dialog.tsx` shows and does them.
 */
import type { Command } from '../lib/api';
import type { Role } from '../lib/me';
import type { State } from '../lib/state';

export interface Field {
  name: string;
  label: string;
  kind: 'text' | 'choice' | 'long';
  /** The value that it begins with. */
  value: string;
  /** The choices, where it is one. */
  choices?: readonly string[];
  hint?: string;
  required?: boolean;
}

export type Values = Readonly<Record<string, string>>;

/** The consequence, a sentence a line. */
export interface Preview {
  says: string[];
  /** Why it is not done: nothing would change, or it cannot be. */
  refused?: string;
  /** The tag of what the figures were read from: it is only done while that is so. */
  match?: string;
  /** The action that takes it back, by what was read. */
  undo?: Action;
}

/**
 * How it ended. A state that was there already, or that others have made as well, is not this command's own: then there
 * is nothing of it to take back.
 */
export type Ended = string | { words: string; isOwn: boolean };

export interface Action {
  /** `Pause characters` */
  title: string;
  /** `Pause` */
  button: string;
  role: Role;
  /** It cannot be had back. */
  danger?: boolean;
  /** It is about data, and no row of the log: nobody is asked why. */
  isData?: boolean;
  fields?: readonly Field[];
  /** From the live state: said anew with each change of it, so that two people see each other. */
  says?: (state: State, values: Values) => Preview;
  /** Asked of the server, again and again while the dialog is open: a dry run. */
  asks?: (values: Values, signal: AbortSignal) => Promise<Preview>;
  /** The same by the command line. */
  command: (values: Values, why: string) => string;
  /**
   * @param how its key: pressed again after an answer that was lost, it is carried out once
   * @returns the outcome, in a sentence
   */
  act: (values: Values, why: string | undefined, how: Command) => Promise<Ended>;
  /** The action that takes it back. Asked before it is done, since the state of before is what it goes back to. */
  undo?: (state: State, values: Values) => Action | undefined;
}

const PLAIN = /^[\w@%+:,./-]+$/;
// eslint-disable-next-line no-control-regex -- these are what needs the other form
const CONTROLS = /[\u0000-\u001f\u007f]/g;

/** A word for a shell: in single quotes where it has more than letters. A line feed or control goes by `$'…'`. */
function word(text: string): string {
  if (PLAIN.test(text)) return text;
  if (text.search(CONTROLS) < 0) return `'${text.replaceAll("'", `'\\''`)}'`;
  const escaped = text
    .replace(/[\\']/g, '\\$&')
    .replace(CONTROLS, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `$'${escaped}'`;
}

/** `npx longwatch pause characters --why 'night'`. A name that begins with a dash stands behind `--`. */
export function line(
  verb: string,
  names: readonly string[],
  options: Readonly<Record<string, string | true | undefined>> = {},
): string {
  const given = Object.entries(options).flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : value === true ? [`--${name}`] : [`--${name} ${word(value)}`],
  );
  const dashed = names.some((name) => name.startsWith('-'));
  const words = names.map(word);
  return ['npx longwatch', verb, ...(dashed ? [...given, '--', ...words] : [...words, ...given])].join(' ');
}
