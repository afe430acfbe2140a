/** Holds what members with a life promise, looked at in each commit, and at the end, when all has come to rest. */
import type { MemberPart } from '../../../activities/tracker/member/commit';
import { removedBefore } from '../../../activities/tracker/member/ended';
import type { MemberLimits } from '../../../activities/tracker/member/constants';
import type { PoolMembers } from '../../../activities/tracker/member/pool-members';
import type { Turn } from '../../../activities/tracker/member/turn';
import type { Answer, Dead, Mail } from '../../../activities/tracker/member/types';
import type { MemberStore, NewMail } from './store';
import { isFatal, type Act } from './acts';
import { EndPromises } from './ends';

export interface Message {
  readonly key: string;
  readonly member: string;
  readonly act: Act;
  readonly to: string;
  readonly ms: number;
  readonly failures: number;
  readonly pad: string;
  readonly request?: NonNullable<Mail['request']>;
  /** The handler that has sent it, and its number among those to this member. */
  readonly stream?: string;
  readonly number?: number;
}

export interface State {
  got: string[];
  /** By member: how many were sent to it. */
  sent: Record<string, number>;
  looks: number[];
  /** When this life began. */
  born: number;
  pad?: string;
}

/** Nothing comes of these. */
const NEVER: readonly Act[] = ['dies', 'hangs', 'grows', 'cycle', 'unstorable', 'refused', 'ends its process'];

export class MemberPromises {
  /** By key: what became of it. */
  readonly fates = new Map<string, 'handled' | 'dead' | 'failed' | 'removed'>();
  private readonly messages = new Map<string, Message>();
  private readonly taken = new Set<string>();
  /** By sender and member: the number that was handled last. */
  private readonly orders = new Map<string, number>();
  private readonly answers = new Map<string, string>();
  private readonly tooOld = new Set<string>();
  /** The row of mail whose handler runs, by key: which copy of it was handled. */
  private readonly running = new Map<string, Mail>();
  /** By `ctx.key`: the message that has it. */
  private readonly keys = new Map<string, string>();
  /** Timers that were replaced, cancelled, or have gone with their member. */
  private readonly cancelled = new Set<string>();
  private readonly struck = new Set<string>();
  private pushes = 0;
  readonly ends: EndPromises;

  constructor(
    private readonly store: MemberStore,
    private readonly limits: MemberLimits,
    private readonly tornReads: boolean,
    isFatal: boolean,
  ) {
    this.ends = new EndPromises(store, limits, isFatal);
  }

  sent(message: Message): void {
    this.messages.set(message.key, message);
  }

  stored(rows: readonly NewMail[], admissions: readonly string[]): void {
    rows.forEach(({ json }, at) => admissions[at] === 'taken' && this.taken.add((JSON.parse(json) as Message).key));
    for (const { member } of rows) {
      const mail = this.store.mailOf(member).filter(({ from }) => from.startsWith('s'));
      if (mail.length > this.limits.memberMail.entries)
        throw new Error(`${member} has ${mail.length} messages in its mail`);
    }
  }

  begun(message: Message, turn: Turn): void {
    const { what } = turn.entry;
    this.messages.set(message.key, message);
    this.isKeyOf(message.key, turn.context.key);
    if (what.kind === 'timer' && what.timer.at > this.store.now()) throw new Error(`${message.key} rang too early`);
    if (what.kind !== 'mail') return;
    const { mail } = what;
    if (mail.request && mail.request.deadline <= this.store.now())
      throw new Error(`${message.key} was begun after its deadline`);
    this.running.set(`${message.key}/${mail.id}`, mail);
  }

  /** `ctx.key` is the same for each attempt of a message, and of no other. */
  private isKeyOf(message: string, key: string): void {
    const of = this.keys.get(key) ?? message;
    if (of !== message) throw new Error(`${message} has the key ${key} of ${of}`);
    this.keys.set(key, message);
  }

  /** Mail and timers of it go with it; what was handled stays handled. */
  removing(id: string): void {
    for (const { json, request } of this.store.mailOf(id)) {
      this.removedOne((JSON.parse(json) as Message).key);
      if (!request || this.answers.has(request.id)) continue;
      this.answers.set(request.id, JSON.stringify({ error: removedBefore({ tracker: 't', id }) }));
    }
    for (const { json } of this.store.timers.get(id)?.values() ?? []) {
      const { key } = JSON.parse(json) as Message;
      this.removedOne(key);
      this.cancelled.add(key);
    }
  }
  private removedOne(key: string): void {
    if (!this.fates.has(key)) this.fates.set(key, 'removed');
  }

  /** A member's part of a commit, as it is written. */
  written(part: MemberPart, before: string | null): void {
    const old = before === null ? undefined : (JSON.parse(before) as State);
    const state = part.row?.state == null ? undefined : (JSON.parse(part.row.state) as State);
    const got = state?.got ?? old?.got ?? [];
    const had = old?.got ?? [];
    if (had.some((key, at) => got[at] !== key)) throw new Error(`${part.id} has lost ${had.join()}: ${got.join()}`);
    const fresh = part.row?.state == null ? [] : got.slice(had.length);
    for (const key of fresh) this.handled(key, part);
    this.order(part, fresh);
    this.effects(part, fresh, old);
    this.timers(part, fresh);
    this.attempts(part);
    for (const dead of part.dead) this.dead(dead, part);
    for (const { request, answer } of part.answers) this.answered(request, answer, fresh, part);
    // It was written after the removal, by a statement that had begun before.
    const removedAt = this.store.removals.get(part.id) ?? 0;
    for (const { id, json } of this.store.mailOf(part.id)) {
      if (part.mailGone.includes(id) && id < removedAt) this.removedOne((JSON.parse(json) as Message).key);
    }
    this.looks(part.id, state, old);
  }

  private handled(key: string, part: MemberPart): void {
    this.settle(key, 'handled');
    const message = this.messages.get(key);
    if (!message) throw new Error(`${part.id} has handled ${key}, which nobody has sent`);
    if (this.cancelled.has(key)) throw new Error(`${key} rang, and was cancelled`);
  }

  /** The messages of a part came to their ends in this order: by a handler, or as dead letters. */
  private order(part: MemberPart, fresh: readonly string[]): void {
    const mail = new Map(this.store.mailOf(part.id).map((one) => [one.id, one]));
    const ended = new Set<string>();
    for (const id of part.mailGone) {
      const { json, from, number } = mail.get(id)!;
      const message = JSON.parse(json) as Message;
      const { key } = message;
      const isHandled = fresh.includes(key) && this.running.has(`${key}/${id}`);
      const isDead = part.dead.some((dead) => dead.json === json && dead.from === from && !isTooOld(dead));
      // A repetition that is dropped may have been begun before.
      if ((!isHandled && !isDead) || ended.has(key)) continue;
      ended.add(key);
      this.inOrder(key, `${from} to ${part.id}`, number ?? (this.tornReads ? undefined : message.number));
    }
  }

  /** A message comes to its end before those that its sender has sent later. */
  private inOrder(key: string, stream: string, number: number | undefined): void {
    if (number === undefined) return;
    const last = this.orders.get(stream) ?? 0;
    if (number <= last) throw new Error(`${key}, the ${number} of ${stream}, came to its end after ${last}`);
    this.orders.set(stream, number);
  }

  private dead(dead: Dead, part: MemberPart): void {
    const { json, attempts, error } = dead;
    const { key } = JSON.parse(json) as Message;
    this.settle(key, 'dead');
    if (isTooOld(dead)) this.tooOld.add(key);
    else if (error.startsWith('ProcessEnded')) {
      this.struck.add(key);
      this.ends.isDead(`t/${part.id}/${this.keyOf(dead, part)}`, part.id);
    } else if (attempts !== this.limits.attempts) throw new Error(`${key} is dead after ${attempts} attempts`);
  }

  /** The end of its `ctx.key`. */
  private keyOf({ json, from }: Dead, { id, mailGone }: MemberPart): string {
    const timer = [...(this.store.timers.get(id)?.values() ?? [])].find(({ name }) => from === `timer ${name}`);
    if (timer) return `timer/${timer.set}`;
    const mail = new Map(this.store.mailOf(id).map((one) => [one.id, one.json]));
    // A repetition of it is dropped behind it.
    return String(mailGone.find((one) => mail.get(one) === json));
  }

  /** One that was replaced, or cancelled, does not ring any more. */
  private timers(part: MemberPart, fresh: readonly string[]): void {
    for (const { name, set, json } of this.store.timers.get(part.id)?.values() ?? []) {
      const after = part.timersSet.find((timer) => timer.name === name);
      if (after ? after.set === set : !part.timersGone.includes(name)) continue;
      const { key } = JSON.parse(json) as Message;
      const isDead = part.dead.some((dead) => dead.json === json);
      if (!fresh.includes(key) && !isDead) this.cancelled.add(key);
    }
  }

  /** Failures are counted, and the last one makes a dead letter. A commit that was lost may count one anew. */
  private attempts(part: MemberPart): void {
    for (const { mail, attempts } of part.again)
      if (attempts < 1 || attempts >= this.limits.attempts)
        throw new Error(`the ${mail} of ${part.id} has failed ${attempts} times, and is tried again`);
  }

  /** Rows are sent, pushed and set because of what was handled, and for nothing else. */
  private effects(part: MemberPart, fresh: readonly string[], old: State | undefined): void {
    const acts = fresh.map((key) => this.messages.get(key)!);
    const sent = part.sent.map(({ json }) => (JSON.parse(json) as Message).key).sort();
    const toSend = acts.filter(({ act }) => act === 'forward' || act === 'self').map(({ key }) => `${key}>`);
    same(`what ${part.id} sends`, sent, toSend.sort());
    for (const { json } of part.sent) this.taken.add((JSON.parse(json) as Message).key);
    const pushed = part.pushes.map(({ json }) => JSON.parse(json) as string);
    same(`what ${part.id} pushes`, pushed.sort(), [...fresh].sort());
    this.pushes += pushed.length;
    const set = part.timersSet.filter(({ attempts }) => attempts === 0);
    for (const { json, name } of set) {
      const { key } = JSON.parse(json) as Message;
      if (!fresh.includes(key.slice(0, -1))) throw new Error(`${part.id} has a timer ${key} of nothing`);
      if (name !== 'one') this.taken.add(key);
    }
    if (part.sent.length > 0 && !part.row) throw new Error(`${part.id} sends and writes no row`);
    if (part.row && (part.row.state?.length ?? 0) > this.limits.stateBytes) throw new Error(`${part.id} is too large`);
    void old;
  }

  private answered(request: string, answer: Answer['answer'], fresh: readonly string[], part: MemberPart): void {
    const before = this.answers.get(request);
    const isTooOld = 'error' in answer && answer.error.type === 'TooOld';
    if (before !== undefined && !isTooOld)
      throw new Error(`${request} was answered ${before}, now ${JSON.stringify(answer)}`);
    if (before === undefined) this.answers.set(request, JSON.stringify(answer));
    const message = [...this.messages.values()].find((one) => one.request?.id === request)!;
    if ('json' in answer) {
      const { key } = JSON.parse(answer.json) as { key: string };
      if (key !== message.key || !fresh.includes(key)) throw new Error(`${part.id} answers ${request} with ${key}`);
    } else if (before === undefined) this.settle(message.key, 'failed');
  }

  /** A client hears of an answer. */
  told(request: string, answer: Answer['answer']): void {
    const stored = this.answers.get(request);
    const isTooOld = 'error' in answer && answer.error.type === 'TooOld';
    if (stored !== JSON.stringify(answer) && !isTooOld)
      throw new Error(`${request} is told ${JSON.stringify(answer)}; stored is ${stored}`);
  }

  private looks(id: string, state: State | undefined, old: State | undefined): void {
    if (!state) return;
    const { looks } = state;
    if (looks.some((at, i) => i > 0 && at <= looks[i - 1]!)) throw new Error(`${id} has applied ${looks.join()}`);
    void old;
  }

  private settle(key: string, fate: 'handled' | 'dead' | 'failed'): void {
    const before = this.fates.get(key);
    if (before !== undefined && before !== 'removed') throw new Error(`${key} was ${before}, and now it is ${fate}`);
    this.fates.set(key, fate);
  }

  /** A message that keeps others of its sender back is taken without room. */
  bounds(pools: readonly PoolMembers[], senders: number, messageBytes: number): void {
    for (const { memory } of pools) {
      const { poolMemory } = this.limits;
      const isTooMuch = memory.bytes > poolMemory.bytes + senders * messageBytes;
      if (memory.entries > poolMemory.entries + senders || (isTooMuch && memory.entries > 1))
        throw new Error(`a pool has ${memory.entries} messages of ${memory.bytes} bytes in memory`);
      if (memory.entries < 0 || memory.bytes < 0 || (memory.entries === 0) !== (memory.bytes === 0))
        throw new Error(`a pool has ${memory.entries} messages of ${memory.bytes} bytes in memory`);
    }
  }

  /** At the end, in calm. */
  allIsSettled(looked: ReadonlyMap<string, number>, areFatal: boolean): void {
    const left = this.store
      .all()
      .map(({ json, from, number, member }) => `${from}/${number} to ${member}: ${json.slice(0, 60)}`);
    if (left.length > 0) throw new Error(`mail is left at the end: ${left.join('; ')}`);
    for (const timers of this.store.timers.values())
      if (timers.size > 0) throw new Error(`a timer is left at the end: ${[...timers.values()][0]!.json}`);
    for (const key of this.taken)
      if (!this.fates.has(key)) throw new Error(`${key} was taken, and nothing became of it`);
    for (const [key, fate] of this.fates) {
      const message = this.messages.get(key);
      if (fate !== 'failed' && fate !== 'dead' && fate !== 'handled' && fate !== 'removed') throw new Error(fate);
      const never = message && NEVER.includes(message.act);
      if (never && fate === 'handled') throw new Error(`${key} was handled, and its handler fails`);
      if (!never && message && fate === 'dead' && !this.tooOld.has(key) && !this.struck.has(key))
        throw new Error(`${key} is dead, and its handler does not fail`);
    }
    for (const [id, at] of looked) {
      if (areFatal && isFatal(at)) continue;
      const life = this.store.lives.get(id);
      const state = life?.state == null ? undefined : (JSON.parse(life.state) as State);
      if (state?.looks.at(-1) !== at) throw new Error(`${id} has not applied ${at}, but ${state?.looks.join()}`);
    }
  }
}

const isTooOld = ({ error }: Dead): boolean => error.startsWith('it was told again');

function same(what: string, is: readonly string[], be: readonly string[]): void {
  if (is.join() !== be.join()) throw new Error(`${what} is ${is.join()}, and should be ${be.join()}`);
}
