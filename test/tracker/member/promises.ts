/** Holds what members with a life promise, looked at in each commit, and at the end, when all has come to rest. */
import type { MemberPart } from '../../../activities/tracker/member/commit';
import { removedBefore } from '../../../activities/tracker/member/ended';
import type { MemberLimits } from '../../../activities/tracker/member/constants';
import type { PoolMembers } from '../../../activities/tracker/member/pool-members';
import type { Turn } from '../../../activities/tracker/member/turn';
import type { Answer, Mail } from '../../../activities/tracker/member/types';
import type { MemberStore, NewMail } from './store';
import { isFatal, type Act } from './acts';

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

export interface Keeper {
  readonly pool: number;
  readonly token: number;
}

export class MemberPromises {
  /** By key: what became of it. */
  readonly fates = new Map<string, 'handled' | 'dead' | 'failed' | 'removed'>();
  private readonly messages = new Map<string, Message>();
  /** By key and sender: its number. */
  private readonly numbers = new Map<string, number>();
  private readonly taken = new Set<string>();
  /** By sender and member: the number that was handled last. */
  private readonly orders = new Map<string, number>();
  private readonly answers = new Map<string, string>();
  private readonly tooOld = new Set<string>();
  /** The row of mail whose handler runs, by key: which copy of it was handled. */
  private readonly running = new Map<string, Mail>();
  /** Handlers that are at work in each process, with their keepers. */
  private readonly working = new Map<object, Map<Turn, Keeper>>();
  /** By `ctx.key`: in so many processes in a row that have ended, it was at work. */
  private readonly ends = new Map<string, number>();
  /** By the key of a message: the keepers that have counted it since it came back last. */
  private readonly counted = new Map<string, Set<string>>();
  private readonly struck = new Set<string>();
  private pushes = 0;

  constructor(
    private readonly store: MemberStore,
    private readonly limits: MemberLimits,
    private readonly tornReads: boolean,
  ) {}

  sent(message: Message, sender: string, number: number): void {
    this.messages.set(message.key, message);
    this.numbers.set(`${message.key}/${sender}`, number);
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
    if (what.kind !== 'mail') return;
    const { mail } = what;
    if (mail.request && mail.request.deadline <= this.store.now())
      throw new Error(`${message.key} was begun after its deadline`);
    this.running.set(`${message.key}/${mail.id}`, mail);
  }

  atWork(turn: Turn, process: object, { pool, token }: Keeper): void {
    const working = this.working.get(process) ?? new Map<Turn, Keeper>();
    this.working.set(process, working.set(turn, { pool, token }));
  }

  counts({ message }: Turn, keeper: string): void {
    const { key } = message as Partial<Message>;
    if (key !== undefined) this.counted.set(key, (this.counted.get(key) ?? new Set<string>()).add(keeper));
  }

  cameBack(turn: Turn, process: object): void {
    if (!this.working.get(process)?.delete(turn)) return;
    this.ends.delete(turn.context.key);
  }

  /** One that has lost the pool by then, or has not heard of a split, is not its keeper. */
  processEnded(process: object): void {
    const { pools } = this.store;
    const working = [...(this.working.get(process) ?? [])].filter(
      ([{ member }, { pool, token }]) => pools[pool]!.token === token && this.store.poolOf(member.id) === pool,
    );
    this.working.delete(process);
    for (const key of new Set(working.map(([{ context }]) => context.key))) {
      const ends = (this.ends.get(key) ?? 0) + 1;
      this.ends.set(key, ends);
      if (ends > this.limits.strikes) throw new Error(`${key} was at work in ${ends} processes that ended`);
    }
  }

  /** Mail and timers of it go with it; what was handled stays handled. */
  removing(id: string): void {
    for (const { json, request } of this.store.mailOf(id)) {
      this.removedOne((JSON.parse(json) as Message).key);
      if (!request || this.answers.has(request.id)) continue;
      this.answers.set(request.id, JSON.stringify({ error: removedBefore({ tracker: 't', id }) }));
    }
    for (const { json } of this.store.timers.get(id)?.values() ?? [])
      this.removedOne((JSON.parse(json) as Message).key);
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
    this.effects(part, fresh, old);
    for (const { json, error } of part.dead) {
      const { key } = JSON.parse(json) as Message;
      this.settle(key, 'dead');
      if (error.startsWith('it was told again')) this.tooOld.add(key);
      if (!error.startsWith('ProcessEnded')) continue;
      this.struck.add(key);
      if ((this.counted.get(key)?.size ?? 0) < this.limits.strikes)
        throw new Error(`${key} is said to have ended processes`);
    }
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
    const id = part.mailGone.find((one) => this.running.has(`${key}/${one}`));
    if (id === undefined) return;
    const mail = this.running.get(`${key}/${id}`)!;
    const number = mail.number ?? (this.tornReads ? undefined : message.number);
    if (number === undefined) return;
    const stream = `${mail.from} to ${part.id}`;
    const last = this.orders.get(stream) ?? 0;
    if (number <= last) throw new Error(`${key}, the ${number} of ${stream}, was handled after ${last}`);
    this.orders.set(stream, number);
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

  bounds(pools: readonly PoolMembers[]): void {
    for (const { memory } of pools) {
      const { poolMemory } = this.limits;
      if (memory.entries > poolMemory.entries || (memory.bytes > poolMemory.bytes && memory.entries > 1))
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

function same(what: string, is: readonly string[], be: readonly string[]): void {
  if (is.join() !== be.join()) throw new Error(`${what} is ${is.join()}, and should be ${be.join()}`);
}
