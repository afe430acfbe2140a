/** The actions on messages of members on which a handler has failed too often, by filter. */
import type { DeadLettersResult } from '../../../client/member/dead';
import { at, send } from '../lib/api';
import { plural, verb } from '../lib/format';
import { line, type Action } from './action';

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
