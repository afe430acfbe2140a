/**
 * The checks of `longwatch doctor` about members that receive: their mail, and what their handlers do. `checks.ts` adds
 * these to the others. Pure: facts in, findings out.
 */
import { count, duration, groupBy, notice, plural, problem, type Check } from './check';
import type { FullPool } from './member-facts';

const MOST_LETTERS = 1_000;
const MB = 1024 * 1024;
/** A pool that was counted longer ago has had neither a keeper nor a sender since. Milliseconds. */
const OLD_COUNT_MS = 60_000;

export const MEMBER_CHECKS: readonly Check[] = [
  {
    id: 'mail-full',
    reads: 'pools whose mail is at its bound, who keeps them, and what their messages have failed on',
    needs: ['members'],
    look: ({ members }) =>
      [...groupBy(members.full, ({ tracker }) => tracker)].map(([tracker, pools]) => {
        // The one with most messages is the first.
        const [worst] = pools as [FullPool, ...FullPool[]];
        const are = pools.length === 1 ? 'is' : 'are';
        const who = pools.some(({ forHandlers }) => forHandlers) ? 'senders wait, and handlers fail' : 'senders wait';
        return problem(
          `${plural(pools.length, 'pool')} of ${tracker} ${are} full of mail, so ${who}: pool ${worst.pool} has ${sizeOf(worst)}${whyFull(worst)}`,
          nextOf(worst),
        );
      }),
  },
  {
    id: 'member-suspects',
    reads: 'messages, timers and values that were being handled when the processes of two keepers ended',
    needs: ['members'],
    look: ({ members }) =>
      members.suspects.map(({ tracker, messages, key, strikes }) =>
        notice(
          `${messages === 1 ? '1 message, timer or value' : `${count(messages)} messages, timers or values`} of ${tracker} ` +
            `may end the process that handles ${messages === 1 ? 'it' : 'them'}: ` +
            `${strikes} processes have ended with ${key} at work`,
          `npx longwatch member show ${tracker} ID; after three processes it is handled no more`,
        ),
      ),
  },
  {
    id: 'member-dead-letters',
    reads: 'messages to members that used all of their attempts',
    needs: ['members'],
    look: ({ members }) =>
      members.dead.map(({ tracker, letters }) => {
        const many =
          letters > MOST_LETTERS ? `more than ${plural(MOST_LETTERS, 'dead letter')}` : plural(letters, 'dead letter');
        return notice(`members of ${tracker} have ${many}`, `npx longwatch dead list ${tracker}`);
      }),
  },
];

function sizeOf({ entries, bytes, countedMs }: FullPool): string {
  const ago = countedMs > OLD_COUNT_MS ? `, as counted ${duration(countedMs)} ago` : '';
  return `${plural(entries, 'message')} (${Number((bytes / MB).toFixed(1))} MB)${ago}`;
}

function whyFull({ node, handled, looked, failed, error }: FullPool): string {
  if (node === null) return ', and no node keeps it';
  if (!handled) return `, and the node ${node} has no code for them`;
  if (failed * 2 <= looked) return '';
  return `; of ${count(looked)} that were looked at ${count(failed)} have failed and wait to be tried again: ${error}`;
}

/** The next step, by what keeps the mail from being handled. */
function nextOf({ tracker, node, handled, looked, failed }: FullPool): string {
  if (node === null) return `npx longwatch pools ${tracker}`;
  if (!handled) return `give that node a config in which ${tracker} has a receive, and start it again`;
  if (failed * 2 > looked)
    return `mend what they fail on: they are tried again by themselves, or are dead letters: npx longwatch dead list ${tracker}`;
  return (
    `more nodes, or more handlers at once: npx longwatch config ${tracker} --set receive.concurrency=200; ` +
    `how much each has: npx longwatch member list ${tracker}`
  );
}
