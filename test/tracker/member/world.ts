/**
 * A simulated world of members with a life: senders with retries and pauses, mail tables that turn, nodes that freeze
 * and die, pools that move and split, commits whose answer is lost, handlers that throw, hang, grow, and end their
 * process. One history is made by its seed; `member-world.test.ts` lives through thousands. The code of
 * `activities/tracker/member` is real; PostgreSQL (`store.ts`) and the shift (`node.ts`) are models.
 */
import type { MemberPart } from '../../../activities/tracker/member/commit';
import { Sender, type Outgoing } from '../../../activities/tracker/member/sender';
import type { Turn } from '../../../activities/tracker/member/turn';
import type { Answer } from '../../../activities/tracker/member/types';
import type { MemberLimits } from '../../../activities/tracker/member/constants';
import { EventQueue } from '../placement/event-queue';
import { Draws } from '../../support/draws';
import { ACTS, FATAL_ACTS, isFatal, LIMITS, SHORT_LIMITS, STEERED_ACTS } from './acts';
import { SimulatedNode } from './node';
import type { Keeper } from './ends';
import { MemberPromises, type State, type Message } from './promises';
import { MemberStore, type NewMail } from './store';
import type { Surroundings } from './surroundings';

const T0 = Date.UTC(2026, 10, 28);
/** No message of this world has more. */
const MESSAGE_BYTES = 3_000;

export class MemberWorld implements Surroundings {
  readonly queue = new EventQueue();
  readonly draw: Draws;
  readonly store: MemberStore;
  readonly limits: MemberLimits;
  readonly isFatal: boolean;
  /** The tracker is paused at times, timers are cancelled, and who was removed is forgotten after seconds. */
  private readonly isSteered: boolean;
  isPaused = false;
  readonly tornReads: boolean;
  private readonly promises: MemberPromises;
  private readonly nodes: SimulatedNode[] = [];
  private readonly senders: Sender<NewMail>[] = [];
  private readonly ids: string[];
  private readonly faultRate: number;
  /** Nothing fails and nothing moves: then no turn is void. */
  private readonly isQuiet: boolean;
  private readonly pauses: readonly number[];
  private readonly busyTables = new Set<number>();
  private readonly looked = new Map<string, number>();
  private calm = false;
  private keys = 0;
  private requests = 0;
  voids = 0;

  constructor(readonly seed: number) {
    const draw = (this.draw = new Draws(seed));
    this.isQuiet = draw.chance(0.1);
    // By the seed and by no draw: the seeds that have found something before there was this stay what they are.
    this.isFatal = !this.isQuiet && seed % 4 === 0;
    this.isSteered = !this.isQuiet && [4, 6].includes(seed % 7);
    this.limits = this.isSteered ? SHORT_LIMITS : LIMITS;
    this.faultRate = this.isQuiet || draw.chance(0.2) ? 0 : draw.between(0.005, 0.1);
    // One statement finds the rows of handlers in order too; several do so only for what has numbers.
    this.tornReads = draw.chance(0.3);
    this.pauses = draw.chance(0.2) ? [50, 300, 2_000, 11 * 60_000, 25 * 3_600_000] : [50, 300, 2_000];
    this.store = new MemberStore(
      () => T0 + this.queue.now,
      this.limits,
      (part: MemberPart, before) => this.promises.written(part, before),
    );
    this.promises = new MemberPromises(this.store, this.limits, this.tornReads, this.isFatal);
    this.ids = Array.from({ length: draw.whole(1, 8) }, (_, i) => `m${i}`);
  }

  /** @throws when a promise is broken */
  live(): MemberPromises {
    const { draw, queue } = this;
    for (let i = draw.whole(1, 3); i > 0; i--) this.nodes.push(new SimulatedNode(this));
    for (let i = draw.whole(1, 4); i > 0; i--)
      this.senders.push(new Sender(`s${i}`, { batchEntries: 6, batchBytes: 2_000, members: draw.one([2, 100]) }));
    for (let pools = draw.whole(1, 3); pools > 1; pools--) this.store.split();
    this.store.pools.forEach((_, pool) => draw.one(this.nodes).keep(pool));
    this.everySecond();
    this.turnTables();
    for (let left = draw.size(5, 60); left > 0; left--) queue.in(draw.whole(0, 6_000), () => this.happen());
    queue.runUntil(6_000);
    this.settle();
    return this.promises;
  }

  faults(): number {
    return this.calm ? 0 : this.faultRate;
  }
  taken = (keeper: Keeper, isClean: boolean): void => this.promises.ends.taken(keeper, isClean);
  cameBack = (turn: Turn, node: SimulatedNode): void => this.promises.ends.cameBack(turn, node);
  told = (request: string, answer: Answer['answer']): void => this.promises.told(request, answer);
  voided = (): void => {
    if (this.isQuiet) throw new Error('a turn was void, and nothing has happened');
    this.voids++;
  };

  /** Nothing fails any more, and all that was sent comes to its end. */
  private settle(): void {
    const { queue, store } = this;
    this.calm = true;
    for (const node of this.nodes) node.frozenUntil = 0;
    this.pause(false);
    for (const row of store.pools) row.lockedUntil = 0;
    for (let tries = 0; tries < 40; tries++) {
      for (const pool of store.pools.keys()) if (!this.holder(pool)) this.nodes[0]!.keep(pool);
      for (const [id, at] of this.looked) this.bring(id, at);
      queue.runUntil(queue.now + (tries < 3 ? 5_000 : 60_000));
      const isOver = store.all().length === 0 && [...store.timers.values()].every(({ size }) => size === 0);
      if (tries > 1 && isOver && this.senders.every((sender) => sender.isIdle)) break;
      // A sender that retries after a day is waited for.
      if (tries > 5 && this.senders.some((sender) => !sender.isIdle)) queue.runUntil(queue.now + 26 * 3_600_000);
    }
    for (const [id, at] of this.looked) this.bring(id, at);
    queue.runUntil(queue.now + 5_000);
    this.promises.allIsSettled(this.looked, this.isFatal);
  }

  private holder(pool: number): SimulatedNode | undefined {
    const { token } = this.store.pools[pool]!;
    return this.nodes.find((node) => node.alive && node.kept.get(pool)?.token === token);
  }

  private happen(): void {
    const { draw, queue, store } = this;
    const node = draw.one(this.nodes);
    const what = this.isQuiet ? draw.whole(0, 7) : draw.whole(0, this.isSteered ? 17 : 15);
    if (what <= 6) this.sendSome();
    else if (what === 7) this.bringSome();
    else if (what === 8) this.freeze(node);
    else if (what === 9 && draw.chance(0.6)) this.kill(node);
    else if (what === 10 || what === 11) this.move(draw.whole(0, store.pools.length - 1), draw.chance(0.5));
    else if (what === 12 && store.pools.length < 5) {
      store.split();
      const made = store.pools.length - 1;
      this.promises.ends.split(made, this.ids);
      queue.in(draw.whole(1, 300), () => draw.one(this.nodes).keep(made));
    } else if (what === 13 && draw.chance(0.5)) {
      const id = draw.one(this.ids);
      this.promises.removing(id);
      this.looked.delete(id);
      store.remove(id);
    } else if (what === 14)
      store.pools[draw.whole(0, store.pools.length - 1)]!.lockedUntil = store.now() + draw.size(10, 1_500);
    else if (what === 15) for (const node of this.nodes) node.unload(() => store.now() - draw.one([0, 1_000]));
    else if (what > 15) this.pause(draw.chance(0.5));
    this.bounds();
  }

  private bounds(): void {
    const pools = this.nodes.flatMap(({ kept }) => [...kept.values()].map(({ members }) => members));
    this.promises.bounds(pools, this.senders.length, MESSAGE_BYTES);
  }

  // ── Nodes ──

  /** Nodes hear of it by their flushes. */
  private pause(is: boolean): void {
    this.isPaused = is;
    for (const node of this.nodes) node.in(this.calm ? 1 : this.draw.whole(1, 300), () => node.follow());
  }

  private freeze(node: SimulatedNode): void {
    const ms = this.draw.size(20, 3_000);
    node.frozenUntil = this.queue.now + ms;
    if (this.draw.chance(0.5)) this.queue.in(Math.round(ms / 2), () => this.rescue(node));
  }

  kill = (node: SimulatedNode): void => {
    const { draw, queue } = this;
    if (!node.alive) return;
    node.alive = false;
    this.promises.ends.processEnded(node);
    this.nodes.splice(this.nodes.indexOf(node), 1);
    queue.in(draw.whole(0, 500), () => this.nodes.push(new SimulatedNode(this)));
    if (this.nodes.length === 0) this.nodes.push(new SimulatedNode(this));
    queue.in(draw.size(10, 2_000), () => this.rescue(node));
  };

  /** Its pools go to others. */
  private rescue(node: SimulatedNode): void {
    for (const pool of [...node.kept.keys()]) this.move(pool, false);
  }

  private move(pool: number, told: boolean): void {
    const from = this.holder(pool);
    const to = this.draw.one(this.nodes);
    if (told) from?.release(pool);
    to.keep(pool);
    this.bringOf(pool);
  }

  private everySecond(): void {
    this.queue.in(1_000, () => {
      for (const node of this.nodes) for (const pool of node.kept.keys()) if (this.hasWork()) node.look(pool);
      this.everySecond();
    });
  }
  private hasWork(): boolean {
    return this.store.all().length > 0 || [...this.store.timers.values()].some(({ size }) => size > 0);
  }

  private turnTables(): void {
    const { draw } = this;
    this.queue.in(draw.whole(50, 500), () => {
      this.busyTables.clear();
      if (draw.chance(0.3)) this.busyTables.add(draw.whole(0, 2));
      this.store.turnTables(this.busyTables);
      if (this.isSteered) this.store.purge();
      if (!this.calm || this.hasWork()) this.turnTables();
    });
  }

  // ── Senders ──

  private sendSome(): void {
    const { draw } = this;
    const sender = draw.one(this.senders);
    for (let left = draw.size(1, 15); left > 0; left--) this.add(sender, this.message());
    this.pump(sender);
  }

  private message(): Message {
    const { draw } = this;
    const usual = draw.chance(0.5) ? 'plain' : draw.one(this.isSteered ? STEERED_ACTS : ACTS);
    const act = this.isFatal && draw.chance(0.04) ? draw.one(FATAL_ACTS) : usual;
    const isRequest = draw.chance(0.25);
    const deadline = this.store.now() + draw.one([5, 100, 1_000, 10_000]);
    return {
      key: `k${++this.keys}`,
      member: draw.chance(0.4) ? this.ids[0]! : draw.one(this.ids),
      act,
      to: draw.one(this.ids),
      ms: draw.one([0, 10, 500, 3_000]),
      failures: draw.whole(1, 2),
      pad: draw.chance(0.1) ? 'x'.repeat(draw.size(1, 2_500)) : '',
      ...(isRequest && { request: { id: `r${++this.requests}`, client: 'c', deadline } }),
    };
  }

  private add(sender: Sender<NewMail>, message: Message, toldAt = this.store.now()): void {
    const { draw, queue } = this;
    const json = JSON.stringify(message);
    const { member, request } = message;
    const row: NewMail = { member, json, bytes: json.length, from: sender.id, toldAt, ...(request && { request }) };
    sender.add(member, row, json.length, toldAt);
    this.promises.sent(message);
    // Another process asks again, with the request's id.
    if (request && draw.chance(0.2)) {
      queue.in(draw.one(this.pauses), () => {
        const other = draw.one(this.senders);
        const deadline = this.store.now() + draw.one([100, 10_000]);
        this.add(other, { ...message, request: { ...request, deadline } }, toldAt);
        this.pump(other);
      });
    }
  }

  private pump(sender: Sender<NewMail>): void {
    const batch = sender.next(this.store.now());
    if (batch) this.write(sender, batch);
    // While a batch is under way, its answer goes on.
    else if (!sender.isIdle && sender.unknown().length === 0) this.queue.in(100, () => this.pump(sender));
  }

  private readonly attempts = new Map<Sender<NewMail>, number>();

  private write(sender: Sender<NewMail>, batch: readonly Outgoing<NewMail>[]): void {
    const { draw, queue, store } = this;
    const attempt = (this.attempts.get(sender) ?? 0) + 1;
    this.attempts.set(sender, attempt);
    const rows = batch.map(({ message, number, previous }): NewMail => ({
      ...message,
      number,
      ...(previous !== undefined && { previous }),
    }));
    const fate = draw.chance(this.faults()) ? draw.one(['never', 'lost', 'lost and late'] as const) : 'made';
    // The statement has drawn its ids, and takes a while until it commits.
    const ids = draw.chance(0.3) ? rows.map(() => store.stamp()) : undefined;
    const made = (): ReturnType<MemberStore['insert']> => {
      const admissions = store.insert(rows, ids);
      this.promises.stored(rows, admissions);
      if (draw.chance(0.8))
        for (const pool of store.pools.keys()) this.holder(pool)?.in(1, () => this.holder(pool)?.look(pool));
      return admissions;
    };
    if (fate !== 'never') {
      queue.in(fate === 'lost and late' ? draw.size(100, 4_000) : draw.whole(1, 20), () => {
        const admissions = made();
        if (fate !== 'made') return;
        queue.in(draw.whole(1, 20), () => {
          if (this.attempts.get(sender) !== attempt) return;
          sender.answered(
            admissions.map((admission) => (admission === 'too old' ? 'refused' : admission)),
            store.now(),
            draw.one([20, 200]),
          );
          this.pump(sender);
        });
      });
    }
    if (fate === 'made') return;
    queue.in(draw.one(this.pauses), () => this.write(sender, sender.unknown()));
  }

  // ── What operations bring ──

  private bringSome(): void {
    const present = this.ids.filter((id) => this.store.roster.get(id)?.removed === false);
    if (present.length === 0) return;
    const id = this.draw.one(present);
    this.looked.set(id, this.store.now());
    this.bring(id, this.store.now());
  }
  private bringOf(pool: number): void {
    for (const [id, at] of this.looked) if (this.store.poolOf(id) === pool) this.bring(id, at);
  }
  /** As a shift does with each new value, and with those that are stored when it begins. */
  private bring(id: string, fetchedAt: number): void {
    const pool = this.store.poolOf(id);
    const node = this.holder(pool);
    node?.in(1, () => {
      const kept = node.kept.get(pool);
      const { store } = this;
      if (kept?.token !== store.pools[pool]!.token || store.poolOf(id) !== pool) return;
      if (store.roster.get(id)?.removed !== false) return;
      kept.members.bring(id, { operation: 'look', json: `${fetchedAt}`, fetchedAt });
      node.go();
    });
  }

  // ── Handlers ──

  handler = (turn: Turn, node: SimulatedNode, keeper: Keeper): 'hangs' | 'ends its process' | (() => void) => {
    const { context, entry } = turn;
    this.promises.ends.atWork(turn, node, keeper);
    if (entry.what.kind === 'apply') {
      if (this.isFatal && isFatal(turn.message as number)) return 'ends its process';
      return () => {
        const state = this.stateOf(turn);
        state.looks.push(turn.message as number);
        if (context.attempt < LIMITS.attempts && this.draw.chance(0.1)) throw new Error('apply throws');
      };
    }
    const message = turn.message as Message;
    const { act } = message;
    this.promises.begun(message, turn);
    this.bounds();
    if (act === 'ends its process') return act;
    if (act === 'hangs') {
      this.stateOf(turn).got.push('of a handler that hangs');
      context.send(message.to, { ...message, key: 'of a handler that hangs' });
      return 'hangs';
    }
    return () => this.handle(turn, message);
  };

  private stateOf({ context }: Turn): State {
    context.state ??= { got: [], sent: {}, looks: [], born: this.queue.now };
    return context.state as State;
  }

  private handle(turn: Turn, message: Message): void {
    const { context } = turn;
    const { key, act, to, ms } = message;
    const state = this.stateOf(turn);
    state.got.push(key);
    const send = (member: string): void => {
      state.sent[member] = (state.sent[member] ?? 0) + 1;
      const number = state.born * 10_000 + state.sent[member];
      context.send(member, {
        ...message,
        key: `${key}>`,
        member,
        act: 'plain',
        stream: `t/${context.id}`,
        number,
        pad: '',
      });
    };
    if (act === 'forward') send(to);
    if (act === 'self') send(context.id);
    if (act === 'timer' || act === 'moves timer' || act === 'ends it by a timer') {
      const name = act === 'moves timer' ? { name: 'one' } : undefined;
      const then = act === 'ends it by a timer' ? 'ends its process' : 'plain';
      context.after(ms, { ...message, key: `${key}@`, act: then, pad: '' }, name);
    }
    if (act === 'cancels') context.cancel('one');
    context.push('buffer', key);
    context.reply({ key, at: state.got.length });
    if (act === 'dies' || (act === 'throws' && context.attempt <= message.failures)) throw new Error(`${key} throws`);
    if (act === 'grows') state.pad = 'x'.repeat(LIMITS.stateBytes);
    if (act === 'cycle') (state as unknown as { self: unknown }).self = state;
    if (act === 'unstorable') state.pad = 'unstorable';
    if (act === 'refused') context.write('fail');
  }
}
