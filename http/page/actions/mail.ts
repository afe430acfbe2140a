/**
 * The actions on messages of members: one is sent, and those on which a handler has failed too often, by filter.
 */
import type { DeadLettersResult } from '../../../client/member/dead';
import type { MemberDetails } from '../../../client/tracker/members';
import { at, get, Problem, send } from '../lib/api';
import { plural, verb } from '../lib/format';
import { line, type Action, type Field, type Preview, type Values } from './action';

/** Chooses dead letters of a tracker's members. */
export interface MailFilter {
  ids?: readonly string[];
  member?: string;
  /** Only where the last error contains this text. */
  error?: string;
}

const SAID = {
  retry: {
    button: 'Retry',
    says: (many: number) =>
      `${plural(many, 'message')} ${verb(many, 'becomes', 'become')} mail again, behind what waits already, with all attempts.`,
    done: 'mail again',
  },
  drop: {
    button: 'Drop',
    says: (many: number) =>
      `${plural(many, 'message')} ${verb(many, 'is', 'are')} deleted: nothing is left, and nothing can be had back.`,
    done: 'dropped',
  },
} as const;

const whichOf = ({ ids, member, error }: MailFilter): string => {
  if (ids) return plural(ids.length, 'dead letter');
  const parts = [...(member ? [`of ${member}`] : []), ...(error ? [`whose error is like '${error}'`] : [])];
  return parts.length > 0 ? `the dead letters ${parts.join(' ')}` : 'all dead letters';
};

/** The dry run says how many; then it is done with the same filter. */
export function deadMailAction(tracker: string, action: keyof typeof SAID, filter: MailFilter): Action {
  const { button, says, done } = SAID[action];
  const { ids, member, error } = filter;
  const path = at('trackers', tracker, 'dead', action);
  return {
    title: `${button} ${whichOf(filter)} of ${tracker}`,
    button,
    role: action === 'drop' ? 'admin' : 'operate',
    danger: action === 'drop',
    asks: async () => {
      const { chosen } = await send<DeadLettersResult>('POST', path, { ids, member, error });
      if (chosen === 0) return { says: [], refused: 'there is no such dead letter any more' };
      return { says: [says(chosen)] };
    },
    command: (_values, why) =>
      line(`dead ${action}`, [tracker, ...(ids ?? [])], {
        member,
        error,
        all: ids === undefined && !member && !error ? true : undefined,
        apply: true,
        why,
      }),
    act: async (_values, why, how) => {
      const body = { ids, member, error, apply: true, why };
      const { chosen } = await send<DeadLettersResult>('POST', path, body, how);
      return `${plural(chosen, 'message')} ${done}`;
    },
  };
}

// ── A message ──

const REPLIES = ['is not waited for', 'is shown here'] as const;
const MEMBER: Field = {
  name: 'member',
  label: 'member',
  kind: 'text',
  value: '',
  hint: 'one that is not there yet is made',
  required: true,
};
const MESSAGE: readonly Field[] = [
  { name: 'message', label: 'message', kind: 'long', value: '', hint: 'JSON: {"say": "hello"}', required: true },
  { name: 'reply', label: 'its reply', kind: 'choice', value: REPLIES[0], choices: REPLIES },
];

/** @param id the member; without it, one of the fields names it */
export function sendAction(tracker: string, id?: string): Action {
  const memberOf = ({ member = '' }: Values): string => id ?? member;
  const isRequest = ({ reply }: Values): boolean => reply === REPLIES[1];
  return {
    title: `Send a message to ${id ?? 'a member'} of ${tracker}`,
    button: 'Send a message',
    role: 'operate',
    isData: true,
    fields: id === undefined ? [MEMBER, ...MESSAGE] : MESSAGE,
    asks: (values, signal) => sendSays(tracker, memberOf(values), values, signal),
    command: (values) => {
      const message = readMessage(values);
      const text = message === undefined ? (values.message ?? '') : JSON.stringify(message.value);
      return line(isRequest(values) ? 'request' : 'send', [tracker, memberOf(values), text]);
    },
    act: async (values, _why, how) => {
      const path = at('trackers', tracker, 'members', memberOf(values), isRequest(values) ? 'request' : 'send');
      const answer = await send<{ reply?: unknown }>('POST', path, { message: readMessage(values)?.value }, how);
      return isRequest(values) ? `the reply is ${JSON.stringify(answer.reply)}` : 'it is stored, and handled once';
    },
  };
}

async function sendSays(tracker: string, member: string, values: Values, signal: AbortSignal): Promise<Preview> {
  if (member === '') return { says: [], refused: 'write the id of a member' };
  const message = readMessage(values);
  if (message === undefined)
    return { says: [], refused: 'write the message as JSON; a text stands in quotes: "hello"' };
  const path = at('trackers', tracker, 'members', member);
  const found = await get<MemberDetails>(path, {}, signal).catch((error: unknown) => {
    if (error instanceof Problem && error.code === 'NotTracked') return undefined;
    throw error;
  });
  const bytes = new TextEncoder().encode(JSON.stringify(message.value)).length;
  const what = `1 message of ${plural(bytes, 'byte')} goes to the handler of ${member}`;
  const waiting = found?.life?.mail.entries ?? 0;
  return {
    says: [
      found === undefined
        ? `${what}, who is not there yet: it is made by this message.`
        : `${what}, behind ${plural(waiting, 'message')} that ${verb(waiting, 'waits', 'wait')}.`,
      ...(isInexact(message.value) ? ['A number in it has more digits than are kept: write it as a text.'] : []),
    ],
  };
}

function readMessage({ message = '' }: Values): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(message) as unknown };
  } catch {
    return undefined;
  }
}

const isInexact = (value: unknown): boolean =>
  typeof value === 'number'
    ? Math.abs(value) > Number.MAX_SAFE_INTEGER
    : typeof value === 'object' && value !== null && Object.values(value).some(isInexact);
