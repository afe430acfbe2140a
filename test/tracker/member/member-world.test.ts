/**
 * Members with a life through thousands of histories: each number once in state and in what was sent because of it,
 * in order for each sender; no request has two answers; nothing is above its bound, and nothing is left.
 */
import { simulate } from '../../support/simulate';
import { MemberWorld } from './world';

// Seeds that found something: a message that failed and was handled before the next commit; a sender's numbers that
// came to life again after a removal; memory full of mail that waited for one for which there was no room; a timer
// that a commit had set which was given up; one that was replaced by a turn which could not be stored.
simulate(
  'members: senders, mail, turns and commits, whatever freezes, dies, moves, splits, turns or is lost',
  (seed) => void new MemberWorld(seed).live(),
  // A history costs some 35 ms.
  { histories: 400, examples: [733, 1359, 1086, 178, 57, 100739, 201467] },
);
