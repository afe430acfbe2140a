/** The simulated world of members, as its nodes need it. */
import type { MemberLimits } from '../../../activities/tracker/member/constants';
import type { Turn } from '../../../activities/tracker/member/turn';
import type { Answer } from '../../../activities/tracker/member/types';
import type { Draws } from '../../support/draws';
import type { EventQueue } from '../placement/event-queue';
import type { SimulatedNode } from './node';
import type { Keeper } from './ends';
import type { MemberStore } from './store';

export interface Surroundings {
  readonly queue: EventQueue;
  readonly draw: Draws;
  readonly store: MemberStore;
  readonly limits: MemberLimits;
  /** A reading is not one statement: it looks into the tables one after another. */
  readonly tornReads: boolean;
  faults(): number;
  /** Handlers may end their process: what they may have ended is counted. */
  readonly isFatal: boolean;
  handler(turn: Turn, node: SimulatedNode, keeper: Keeper): 'hangs' | 'ends its process' | (() => void);
  /** The tracker is. */
  readonly isPaused: boolean;
  /** The pool has a new keeper. @param isClean the one before has let it go */
  taken(keeper: Keeper, isClean: boolean): void;
  /** Its handler has, or its shift has let it go. */
  cameBack(turn: Turn, node: SimulatedNode): void;
  kill(node: SimulatedNode): void;
  told(request: string, answer: Answer['answer']): void;
  voided(): void;
}
