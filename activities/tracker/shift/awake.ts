/**
 * Says which members of a pool are awake, for operations with `while: 'awake'`, by the rule of `member/idle.ts`: an
 * operation that runs always keeps all of them awake; else a member is awake while its turns keep it in memory
 * (`turns/pool.ts`). Kept by `pool-shift.ts`; told by the turns whom a message or a timer has woken.
 */
import type { While } from '../member/idle';
import type { PoolLife } from './host';
import type { Members } from './members';
import type { OperationLoop } from './operation';

export interface AwakePool {
  readonly members: Members;
  readonly loops: ReadonlyMap<string, OperationLoop>;
  readonly life: PoolLife | undefined;
}

export class Awake {
  constructor(private readonly pool: AwakePool) {}

  /** A member of whose turns nothing is known is awake: nobody is left out for that. */
  is(slot: number): boolean {
    const { life, loops, members } = this.pool;
    if (!life) return true;
    const enabled = [...loops.values()].filter(({ options }) => options.enabled);
    const operations = enabled.map(({ options }): While => options.while ?? 'always');
    return life.isAwake(members.id(slot), operations);
  }

  /** A message or a timer of this member is handled. */
  woke(id: string, now: number): void {
    const slot = this.pool.members.slotOf(id);
    if (slot === undefined) return;
    for (const loop of this.pool.loops.values()) loop.wakeMember(slot, now);
  }

  /** Operations have other options. */
  lookAgain(now: number): void {
    for (const loop of this.pool.loops.values()) loop.wakeMember(undefined, now);
  }
}
