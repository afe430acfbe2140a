/**
 * The times at which something of a pool's members is due by itself: a message that has failed, a timer, a member that
 * is to be read later. `pool-members.ts` sets them and asks who is due.
 */
import { Heap } from './heap';
import type { Member } from './member';
import type { Timer } from './types';

interface Alarm {
  readonly member: Member;
  /** The member as it was: one that was forgotten meanwhile has other alarms. */
  readonly life: number;
  readonly timer?: Timer;
}

export class Alarms {
  private readonly heap = new Heap<Alarm>();

  /** When the first is due; Infinity: none is. */
  get first(): number {
    return this.heap.first;
  }

  set(member: Member, at: number): void {
    this.heap.push(at, { member, life: member.life });
  }

  setTimers(member: Member, timers: Iterable<Timer>): void {
    for (const timer of timers) this.heap.push(timer.at, { member, life: member.life, timer });
  }

  /** Takes out those that are due, and still hold. */
  *due(now: number): Generator<Alarm> {
    while (this.heap.first <= now) {
      const alarm = this.heap.pop()!;
      if (alarm.member.life === alarm.life) yield alarm;
    }
  }
}
