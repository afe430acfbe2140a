/**
 * One turn: what a handler gets, and what comes of it. `member.ts` begins one and ends it; who runs the handler is
 * above this folder. A turn changes nothing: it works on a copy of the state, and notes what it sends. When it has
 * ended well, all of that is an `EndedTurn`, and a part of the next commit; when it threw, nothing of it is left.
 */
import type { MemberContext } from '../../../config/define/member';
import { parseDuration } from '../../../config/values';
import { NAME_PATTERN } from '../../../workflows/lib/options';
import { utf8Bytes } from '../../../workflows/lib/size';
import { storable } from '../../../workflows/lib/text';
import { idProblem } from '../../../workflows/tracker/id';
import type { MemberLimits } from './constants';
import { PLAIN_STATES, type StateCode } from './loading';
import type { Entry } from './mailbox';
import type { Address, Image, Pushed, Sent, Timer, Trace, Write } from './types';

/** A mistake of a handler, in what it asked for. The message is for whoever wrote it. */
export class TurnError extends Error {
  override readonly name = 'TurnError';
}

/** The part of a handler's context that a turn can do; `turns/run.ts` adds the log, the signal and the transaction. */
export type TurnContext<S = unknown> = Omit<MemberContext<S>, 'log' | 'signal' | 'query'>;

/** All that a handler did, when it has ended well. */
export interface Effects {
  readonly state: string | null;
  readonly stateVersion: number;
  readonly timers: ReadonlyMap<string, Timer>;
  readonly sets: number;
  /** The reply as JSON; undefined: it gave none. */
  readonly reply: string | undefined;
  readonly sent: readonly Sent[];
  readonly pushes: readonly Pushed[];
  readonly writes: readonly Write[];
  /** The size of all that has to be stored. */
  readonly bytes: number;
}

/**
 * The state of a context, which its turn keeps. A class, for an object with an accessor of its own stays in memory
 * until a full collection, with its turn.
 */
class StateOfTurn {
  readonly #get: () => unknown;
  readonly #set: (value: unknown) => void;

  constructor(get: () => unknown, set: (value: unknown) => void) {
    this.#get = get;
    this.#set = set;
  }

  get state(): unknown {
    return this.#get();
  }

  set state(value: unknown) {
    this.#set(value);
  }
}

export class Turn {
  readonly context: TurnContext;
  /** Whether its code was called: it may have been given back before. */
  hasBegun = false;
  private over = false;
  private readonly sent: Sent[] = [];
  private readonly pushes: Pushed[] = [];
  private readonly writes: Write[] = [];
  private readonly timers: Map<string, Timer>;
  private sets: number;
  private reply: string | undefined;
  private rows = 0;
  /** The bytes of these rows. */
  private bytes = 0;
  /** The copy of the state, when somebody has looked. */
  private state: { value: unknown } | undefined;

  constructor(
    readonly member: Address,
    readonly entry: Entry,
    private readonly image: Image,
    private readonly limits: MemberLimits,
    private readonly now: number,
    private readonly states: StateCode = PLAIN_STATES,
  ) {
    this.timers = new Map(image.timers);
    this.sets = image.sets;
    this.context = this.makeContext();
  }

  /** Its context refuses everything by now. */
  get isOver(): boolean {
    return this.over;
  }

  /** The message for the handler. */
  get message(): unknown {
    const { what } = this.entry;
    if (what.kind === 'mail') return JSON.parse(what.mail.json) as unknown;
    return JSON.parse(what.kind === 'timer' ? what.timer.json : what.brought.json) as unknown;
  }

  /** From now on its context refuses everything: the turn was taken from the handler. */
  close(): void {
    this.over = true;
  }

  /** @throws whatever JSON throws for a state that it cannot say, or a TurnError where it is too large */
  end(): Effects {
    this.open('end');
    const state = this.stateAsJson();
    this.over = true;
    const { timers, sets, reply, sent, pushes, writes } = this;
    const bytes = this.bytes + utf8Bytes(reply ?? '') + (state === this.image.state ? 0 : utf8Bytes(state ?? ''));
    const stateVersion = this.state ? this.states.version : this.image.stateVersion;
    return { state, stateVersion, timers, sets, reply, sent, pushes, writes, bytes };
  }

  private stateAsJson(): string | null {
    if (!this.state) return this.image.state;
    const json = JSON.stringify(this.state.value) as string | undefined;
    if (json === undefined) {
      if (this.state.value === undefined) return null;
      throw new TurnError(`the state of ${this.member.id} is a ${typeof this.state.value}, which JSON cannot say`);
    }
    if (json === this.image.state) return this.image.state;
    this.fits('the state', utf8Bytes(json), this.limits.stateBytes);
    return json;
  }

  private makeContext(): TurnContext {
    const { member, entry } = this;
    const state = new StateOfTurn(
      () => this.copyOfState(),
      (value) => {
        this.open('state');
        this.state = { value };
      },
    );
    return Object.assign(state, {
      tracker: member.tracker,
      id: member.id,
      key: keyOf(member, entry),
      attempt: attemptOf(entry),
      trace: this.trace,
      reply: (value) => this.setReply(value),
      send: (to, message, options) => this.send(to, message, options?.replyTo),
      after: (delay, message, options) => this.after(delay, message, options?.name),
      cancel: (name) => {
        this.open('cancel');
        return this.timers.delete(name);
      },
      timers: () =>
        [...this.timers.values()].map(({ name, at, json }) => ({ name, at, message: JSON.parse(json) as unknown })),
      push: (buffer, given) => {
        this.open('push');
        this.pushes.push({ buffer: named('buffer', buffer), json: this.row('push', given) });
      },
      write: (sql, values = []) => {
        this.open('write');
        this.row('write', [sql, ...values]);
        this.writes.push({ sql, values: [...values] });
      },
      request: () => {
        throw new TurnError(
          'a handler may send, not request: two members that wait for each other would wait for ever. ' +
            'Use ctx.send(to, message, { replyTo: ctx.id }), and handle the reply as a message',
        );
      },
    } satisfies Omit<TurnContext, 'state'>);
  }

  private get trace(): Trace | undefined {
    const { what } = this.entry;
    if (what.kind === 'apply') return undefined;
    return what.kind === 'mail' ? what.mail.trace : what.timer.trace;
  }

  private copyOfState(): unknown {
    this.state ??= { value: this.readState() };
    return this.state.value;
  }

  private readState(): unknown {
    const { state, stateVersion } = this.image;
    if (state === null) return this.states.initial(this.member.id);
    return this.states.read(JSON.parse(state), stateVersion);
  }

  private setReply(value: unknown): void {
    this.open('reply');
    if (this.reply !== undefined) throw new TurnError('this message was replied to before; it has one reply');
    const json = this.json('reply', value);
    this.fits('the reply', utf8Bytes(json), this.limits.replyBytes);
    this.reply = json;
  }

  private send(to: string | Address, message: unknown, replyTo?: string | Address): void {
    this.open('send');
    const json = this.row('send', message);
    const trace = this.trace;
    const sent = { to: this.addressOf(to), json, ...(trace && { trace }) };
    this.sent.push(replyTo === undefined ? sent : { ...sent, replyTo: this.addressOf(replyTo) });
  }

  private after(delay: number | string, message: unknown, given?: string): string {
    this.open('after');
    const ms = typeof delay === 'string' ? parseDuration(delay) : delay;
    if (ms === undefined || !(ms >= 0) || ms > this.limits.timerMs)
      throw new TurnError(`after takes '500ms', '5m', or milliseconds from 0 to ${this.limits.timerMs}`);
    const json = this.row('after', message);
    // The first of a life is behind all numbers of the lives before it, which nobody knows any more.
    const set = (this.sets = (this.sets || Math.floor(this.now)) + 1);
    const name = given ?? `#${set}`;
    const problem = idProblem(name);
    if (problem !== undefined) throw new TurnError(`after was given a name that cannot be kept: ${problem}`);
    if (!this.timers.has(name) && this.timers.size >= this.limits.timers)
      throw new TurnError(
        `a member has at most ${this.limits.timers} timers; cancel one, or give it a name that is there`,
      );
    const trace = this.trace;
    this.timers.set(name, { name, set, at: this.now + ms, json, attempts: 0, ...(trace && { trace }) });
    return name;
  }

  private addressOf(to: string | Address): Address {
    const { tracker, id } = typeof to === 'string' ? { tracker: this.member.tracker, id: to } : to;
    const problem = idProblem(id);
    if (problem !== undefined) throw new TurnError(`send was given an id that nobody can have: ${problem}`);
    return { tracker: named('tracker', tracker), id };
  }

  /** One more row of the commit: its JSON, now, so that a later change of the object changes nothing. */
  private row(verb: string, value: unknown): string {
    const json = this.json(verb, value);
    const bytes = utf8Bytes(json);
    this.fits(`what ${verb} was given`, bytes, this.limits.messageBytes);
    if (this.rows + 1 > this.limits.turnRows) throw new TurnError(`one turn has at most ${this.limits.turnRows} rows`);
    this.fits('all that one turn sends', this.bytes + bytes, this.limits.turnBytes);
    this.rows++;
    this.bytes += bytes;
    return json;
  }

  private json(verb: string, value: unknown): string {
    const json = JSON.stringify(value ?? null) as string | undefined;
    if (json === undefined) throw new TurnError(`${verb} was given a ${typeof value}, which JSON cannot say`);
    return json;
  }

  private fits(what: string, bytes: number, limit: number): void {
    if (bytes > limit) throw new TurnError(`${what} has ${bytes} bytes as JSON; at most ${limit} are taken`);
  }

  private open(verb: string): void {
    if (!this.over) return;
    throw new TurnError(
      `the turn of ${this.member.id} is over, so ${verb} would be lost: await all that a handler does`,
    );
  }
}

/** One name that cannot be stored would be everybody's failure, in the commit. */
function named(kind: string, name: string): string {
  if (NAME_PATTERN.test(name)) return name;
  throw new TurnError(`'${storable(String(name), 60)}' is not the name of a ${kind}`);
}

function keyOf({ tracker, id }: Address, { what }: Entry): string {
  if (what.kind === 'mail') return `${tracker}/${id}/${what.mail.request?.id ?? what.mail.id}`;
  if (what.kind === 'timer') return `${tracker}/${id}/timer/${what.timer.set}`;
  return `${tracker}/${id}/${what.brought.operation}/${what.brought.fetchedAt}`;
}

/** The number of this attempt, counted from 1. */
export function attemptOf({ what }: Entry): number {
  if (what.kind === 'mail') return what.mail.attempts + 1;
  return (what.kind === 'timer' ? what.timer.attempts : what.attempts) + 1;
}
