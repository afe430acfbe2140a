/**
 * The promises in the simulated world of a node (`world.ts`): in each commit of a flush, at each tick, and at the
 * end.
 * - The writer of a value holds the fence of its pool, and its member has not been removed.
 * - The stored value is the last that the shift had when its flush began, with the ETag of that very value; never an
 *   older one after it.
 * - A buffer is given each change of a value once, and nothing else.
 * - A failure is counted once.
 * - No transaction is larger than it should be, however large the values are (a statement: `store.ts`).
 * - Nobody is asked before its expiry or hold is over, as its shift or the store knows it.
 * - Everybody who may run does, within interval, stagger and what held it.
 */
import type { OperationLoop } from '../../../activities/tracker/shift/operation';
import type { PoolShift } from '../../../activities/tracker/shift/pool-shift';
import type { VirtualTime } from '../../support/virtual-time';
import type { SimulatedNode } from './node';
import type { Store, Transaction } from './store';

interface Result {
  at: number;
  content: number;
}
/** All that one shift came to for one member and operation. */
interface Known {
  results: Result[];
  /** Until when its last result said that it is left alone. */
  until?: number;
  /** Undefined: as the store has it. */
  inARow: number | undefined;
  failures: { inARow: number; error: string }[];
  /** A value of it, since the last success. */
  refused?: boolean;
}
/** A member's time in one operation. */
interface Turn {
  ranAt: number;
  notBefore: number;
  waited: number;
}

/**
 * A value fetched within time-out (0.4 s) and two seconds may be asked for once more, as long as its expiry (1.5 s)
 * would count. Milliseconds.
 */
const ANEW_MS = 4_100;
/** A clock takes this for noise, and a little is added. Milliseconds. */
const NEARLY_MS = 150;

const contentOf = (json: string): number => (JSON.parse(json) as { content: number }).content;

/** Whether this transaction notes that the store has refused a value. */
const wasRefused = ({ writes }: Transaction, key: number, operation: string): boolean =>
  writes.some((one) => one.key === key && one.operation === operation && one.failure?.error.includes('of 22P02'));

export class Promises {
  results = 0;
  writes = 0;
  private readonly known = new WeakMap<PoolShift, Map<string, Known>>();
  private readonly newest = new Map<string, number>();
  private readonly turns = new Map<string, Turn>();
  private readonly anew = new Map<string, number>();
  private clockIsTrue = true;

  constructor(
    private readonly store: Store,
    private readonly time: VirtualTime,
    private readonly mostMs: number,
    private readonly broken: (error: Error) => void,
  ) {}

  // ── What is told ──

  /** A shift has come to a node: notes what its runs come to as its own code takes it, before anything merges it. */
  join(node: SimulatedNode, shift: PoolShift): void {
    this.known.set(shift, new Map());
    for (const loop of shift.loops.values()) this.listen(node, shift, loop);
  }

  private listen(node: SimulatedNode, shift: PoolShift, loop: OperationLoop): void {
    const { results } = loop;
    const { succeed, fail } = results;
    const inMs = (until: number | null) => (until === null ? 0 : this.time.now + until - node.clock.now());
    results.succeed = (slot, success) => {
      const known = this.of(shift, loop.name, success.key);
      known.inARow = 0;
      known.refused = false;
      this.results++;
      if (success.json !== null) known.results.push({ at: this.results, content: contentOf(success.json) });
      known.until = this.turn(loop.name, shift.members.id(slot)).notBefore = inMs(success.expiresAt);
      succeed.call(results, slot, success);
    };
    results.fail = (slot, failure) => {
      const known = this.of(shift, loop.name, failure.key);
      known.until = this.turn(loop.name, shift.members.id(slot)).notBefore = inMs(failure.heldUntil);
      known.inARow ??= this.store.values.get(`${failure.key}/${loop.name}`)?.failures ?? 0;
      // A shift whose pool is another's by now counts for nothing: it is stored nowhere.
      const isHolder = this.store.pools.get(shift.claim.pool)!.token === shift.token;
      // Nor is what it counts for one who was removed, perhaps added again, or given to another pool since it looked.
      const member = this.store.byKey.get(failure.key);
      const isThere =
        member &&
        !member.removed &&
        member.addedAt === shift.members.addedAt(slot) &&
        this.store.poolOf(member.id) === shift.claim.pool;
      if (failure.inARow !== ++known.inARow && isHolder && isThere)
        this.broken(new Error(`failure ${known.inARow} in a row is counted as ${failure.inARow}: ${failure.error}`));
      known.failures.push({ inARow: failure.inARow, error: failure.error });
      fail.call(results, slot, failure);
    };
    const take = loop.agenda.take.bind(loop.agenda);
    loop.agenda.take = () => {
      const slot = take();
      if (slot >= 0) this.isTime(shift, loop.name, slot);
      return slot;
    };
    const leave = loop.leave.bind(loop);
    loop.leave = (slot) => {
      Object.assign(this.of(shift, loop.name, shift.members.key(slot)), { inARow: undefined, until: 0 });
      leave(slot);
    };
    const refuse = loop.refuse.bind(loop);
    loop.refuse = (slot, result) => {
      // Counts as one more.
      Object.assign(this.of(shift, loop.name, result.key), { inARow: undefined, refused: true });
      refuse(slot, result);
    };
  }

  /** A run has begun. */
  ran(key: string): void {
    const turn = this.turns.get(key);
    if (turn) Object.assign(turn, { ranAt: this.time.now, waited: 0 });
  }

  /** All of an operation are to be asked anew, whatever they were told. */
  askedAnew(operation: string): void {
    this.anew.set(operation, this.time.now);
  }

  /** The database's clock has jumped: what is stored does not say any more when. */
  jumped(): void {
    this.clockIsTrue = false;
  }

  private isTime(shift: PoolShift, operation: string, slot: number): void {
    const { now } = this.time;
    if (!this.clockIsTrue || now < (this.anew.get(operation) ?? -Infinity) + ANEW_MS) return;
    const key = shift.members.key(slot);
    const row = this.store.values.get(`${key}/${operation}`);
    const stored = Math.max(row?.expiresAt ?? 0, row?.heldUntil ?? 0) - (this.store.clock() - now);
    const early = (this.of(shift, operation, key).until ?? stored) - now;
    if (early > NEARLY_MS)
      this.broken(new Error(`${operation} of ${shift.members.id(slot)} is asked ${early} ms too early`));
  }

  /** Added (again) or removed: its time begins anew. */
  rosterChanged(id: string): void {
    for (const operation of Object.keys(this.store.tracker.options.operations)) this.turns.delete(`${operation}/${id}`);
  }

  // ── In each commit ──

  committing(tx: Transaction, node: SimulatedNode): void {
    for (const { key, operation, value, failure } of tx.writes) {
      this.writes++;
      const member = this.store.byKey.get(key);
      if (!member || member.removed) throw new Error(`a result of member ${key}, which has been removed, is stored`);
      const pool = this.store.poolOf(member.id);
      if (!tx.pools.has(pool)) throw new Error(`${node.name} writes for pool ${pool}, whose fence it does not hold`);
      const what = `${operation} of ${member.id}`;
      const known = this.known.get(this.holderOf(node, pool))?.get(`${operation}/${key}`);
      const row = tx.valueOf(key, operation)!;
      if (failure) {
        this.failureIsKnown(what, known, failure, wasRefused(tx, key, operation));
        continue;
      }
      if (row.value === null) throw new Error(`${what} is stored as unchanged, and there is no value`);
      const told = JSON.parse(row.value) as { id: string; operation: string; content: number };
      if (told.id !== member.id || told.operation !== operation)
        throw new Error(`${what} has the value of ${told.operation} of ${told.id}`);
      if (row.etag !== null && row.etag !== `e${told.content}`)
        throw new Error(`${what} has the value ${told.content} with the ETag ${row.etag}`);
      const last = known?.results.findLast(({ at }) => at <= tx.since);
      if (last && told.content !== last.content)
        throw new Error(
          `${what} is stored as ${told.content}${value === null ? ', unchanged' : ''}; the last was ${last.content}`,
        );
      const newest = this.newest.get(what) ?? 0;
      if (told.content < newest) throw new Error(`${what} is stored as ${told.content}, after ${newest}`);
      this.newest.set(what, told.content);
    }
    this.feedIsTheChanges(tx);
    this.isCut(tx, node);
  }

  /** A transaction has no more than it should, and one value. */
  private isCut({ writes }: Transaction, { limits }: SimulatedNode): void {
    if (!limits) return;
    const bytes = writes.map(({ value }) => value?.length ?? 0);
    const most = limits.transaction.bytes + Math.max(0, ...bytes);
    const sum = bytes.reduce((one, other) => one + other, 0);
    if (sum > most) throw new Error(`a transaction has ${sum} bytes of ${most}`);
  }

  private failureIsKnown(
    what: string,
    known: Known | undefined,
    failure: { inARow: number; error: string },
    refused: boolean,
  ): void {
    const { inARow, error } = failure;
    // The store refused a value: that is a failure of the flush's own.
    if (error.includes('of 22P02')) return;
    // A value before it that the store refused is one more.
    const more = refused || known?.refused ? 1 : 0;
    const isIt = (one: { inARow: number }) => one.inARow === inARow || one.inARow + more === inARow;
    if (known?.failures.some((one) => isIt(one) && one.error === error)) return;
    throw new Error(`${what} is stored as failed ${inARow} times in a row (${error}), which nobody told`);
  }

  private feedIsTheChanges(tx: Transaction): void {
    const changes: string[] = [];
    for (const [name, row] of tx.values) {
      const [key, operation] = name.split('/') as [string, string];
      if (operation !== 'look' || row.value === (this.store.values.get(name)?.value ?? null)) continue;
      changes.push(`${this.store.byKey.get(Number(key))!.id}: ${row.value}`);
    }
    const fed = tx.fed.map(({ id, value }) => `${id}: ${value}`);
    if (changes.sort().join() !== fed.sort().join())
      throw new Error(`what has changed is ${changes.join()}; the buffer was given ${fed.join()}`);
  }

  // ── At each tick ──

  /** Finds members that may run and do not. @param moreMs what clocks that jumped may have added to what is stored */
  look(nodes: readonly SimulatedNode[], ms: number, winding: ReadonlySet<PoolShift>, moreMs: number): void {
    const { tracker } = this.store;
    if (tracker.state !== 'running') return;
    for (const node of nodes) {
      if (!node.isWell) continue;
      for (const shift of node.shifts) {
        if (shift.isOver || winding.has(shift) || shift.trackerVersion !== tracker.version) continue;
        for (const loop of shift.loops.values()) this.lookAt(node, shift, loop, ms, moreMs);
      }
    }
  }

  private lookAt(node: SimulatedNode, shift: PoolShift, loop: OperationLoop, ms: number, moreMs: number): void {
    const { everyMs, concurrency, enabled, gated, stagger } = loop.options;
    const now = node.clock.now();
    const isHeld = node.holds.until(shift.trackerName, loop.name) > now;
    if (!enabled || isHeld || (gated && shift.closed() === 'gate')) return;
    if (loop.inFlightCount >= concurrency || node.ring.free === 0) return;
    shift.members.forEach((slot) => {
      const turn = this.turn(loop.name, shift.members.id(slot));
      const due = Math.max(turn.ranAt + everyMs + stagger.baseMs, turn.notBefore + everyMs / 2);
      if (this.time.now <= due) return;
      turn.waited += ms;
      // Spread anew when what held it up ends, which may come again and again.
      if (turn.waited > 4 * this.mostMs + moreMs)
        throw new Error(`${loop.name} of ${shift.members.id(slot)} has waited for ${turn.waited} ms, free to run`);
    });
  }

  // ── At the end ──

  /** Placement knows of each pool where it is: one node counts it, or has just sent it on. */
  everyPoolCountsOnce(nodes: readonly SimulatedNode[]): void {
    const counted = new Map<string, string>();
    for (const { name, placing, shifts } of nodes) {
      for (const id of placing.placer.pools.keys()) {
        if (counted.has(id)) throw new Error(`${id} counts for ${counted.get(id)!} and for ${name}`);
        counted.set(id, name);
      }
      for (const { claim, isOver, givenAway } of shifts) {
        const id = `${claim.tracker}/${claim.pool}`;
        if (!isOver && !givenAway.to && counted.get(id) !== name)
          throw new Error(`${name} keeps ${id} and does not count it`);
      }
    }
    const onTheWay = new Set(nodes.flatMap(({ placing }) => placing.placer.awaited()));
    for (const pool of this.store.pools.keys()) {
      const id = `${this.store.tracker.name}/${pool}`;
      if (!counted.has(id) && !onTheWay.has(id)) throw new Error(`${id} counts for nobody`);
    }
  }

  everybodyIsFresh(since: number, upstream: (operation: string, id: string) => number | undefined): void {
    const { store } = this;
    for (const { id, key, removed } of store.members.values()) {
      for (const operation of Object.keys(store.tracker.options.operations)) {
        const row = store.values.get(`${key}/${operation}`);
        if (removed && row) throw new Error(`${operation} of ${id}, which has been removed, has a value`);
        if (removed) continue;
        const [what, ranAt] = [`${operation} of ${id}`, this.turns.get(`${operation}/${id}`)?.ranAt];
        if (ranAt === undefined || ranAt < since) throw new Error(`${what} has not run in calm; last at ${ranAt}`);
        const content = upstream(operation, id);
        if (row?.value == null || contentOf(row.value) !== content)
          throw new Error(`${what} is ${row?.value} at the end; the upstream has ${content}`);
        if (row.failures > 0) throw new Error(`${what} has ${row.failures} failures after a success: ${row.error}`);
      }
    }
  }

  private holderOf(node: SimulatedNode, pool: number): PoolShift {
    const { token } = this.store.pools.get(pool)!;
    for (const shift of node.everKept) if (shift.claim.pool === pool && shift.token === token) return shift;
    throw new Error(`${node.name} has no shift that holds pool ${pool} with token ${token}`);
  }

  private of(shift: PoolShift, operation: string, key: number): Known {
    const all = this.known.get(shift)!;
    const name = `${operation}/${key}`;
    let known = all.get(name);
    if (!known) all.set(name, (known = { results: [], inARow: undefined, failures: [] }));
    return known;
  }

  private turn(operation: string, id: string): Turn {
    const name = `${operation}/${id}`;
    let turn = this.turns.get(name);
    if (!turn) this.turns.set(name, (turn = { ranAt: this.time.now, notBefore: 0, waited: 0 }));
    return turn;
  }
}
