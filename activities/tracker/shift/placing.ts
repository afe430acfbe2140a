/**
 * The node's side of placement: which pools it takes, keeps and gives away. `placement/placer.ts` decides; here is what
 * its decisions are made of, and who carries them out. Made by the node (`node.ts`), which has it look a few times a
 * second. A shift that begins asks here whether to (`take-pool.ts`: `offer`), and says here when it is over (`over`);
 * one whose pool is given away is told so (`given-away.ts`). Attendance writes what `word` says, and brings the answer.
 *
 * Looked at apart from the flush: a flush that is slow holds up no hand-over, and no hand-over a flush.
 */
import { performance } from 'node:perf_hooks';
import { PLACEMENT } from '../placement/constants';
import { Placer } from '../placement/placer';
import type { Decision } from '../placement/take';
import { idOf, type PlacedPool } from '../placement/types';
import type { ShiftEnd, ShiftInput } from '../../../workflows/tracker/contract';
import { labelOf } from '../../../workflows/tracker/options';
import { FenceSight } from './fence-sight';
import { grownPool, placedPool } from './placed-pool';
import type { Database, Queryable } from '../../lib/database';
import { errorOf } from '../../lib/failures';
import type { PoolClaim, SeenFence } from '../store/fence';
import type { Attended, NodeWord, Peer } from '../store/nodes';
import { runningTrackers, type TrackerRow } from '../store/trackers';
import { canOthersTake, hasRoom, loadAndShare, mayBegin, stuckPools, wantedNodesOf } from './cluster-sight';
import type { OpeningFacts } from './openings';
import { KeptHere, type Kept } from './kept-here';
import type { PoolShift } from './pool-shift';
import { Settings } from './node-settings';
import type { PlacingHost } from './placing-host';

/** How often it looks: at the fences of pools on their way, at the sizes of its own, at what to give. Milliseconds. */
const LOOK_MS = 250;
/** The same while pools are on their way. */
const QUICK_MS = 100;
/** A pool that a node gives away because it ends waits so long for its runs. Milliseconds. */
const LEAVING_MS = 1_000;

export class Placing {
  readonly placer: Placer;
  readonly settings: Settings;
  private readonly kept = new KeptHere();
  private readonly fences: FenceSight;
  private readonly startedAt = performance.now();
  private peers: readonly Peer[] = [];
  private heardAt = -Infinity;
  private looking: Promise<void> | undefined;
  private lookedAt = -Infinity;
  private ending = false;
  /** It ends, and knows all others. */
  private handsBack = false;
  private lost = false;

  constructor(
    database: Database,
    private readonly host: PlacingHost,
    private readonly random: () => number = Math.random,
  ) {
    this.settings = new Settings(new Set(host.definitions.keys()), new Set(host.row.labels));
    this.placer = new Placer(host.row.name, this.settings.current(), host.states);
    this.fences = new FenceSight(database);
  }

  // ── Shifts come and go ──

  /** A shift is to begin here. Asked once for each: what was answered counts. */
  offer(tracker: TrackerRow, seen: SeenFence, claim: PoolClaim, input: ShiftInput): Decision {
    const pool = placedPool(tracker, claim.pool, seen);
    this.settings.learn(tracker.name, labelOf(tracker.options));
    this.placer.settings = this.settings.current();
    const now = this.now();
    if (claim.attempt > 1 && seen.keeper != null) this.placer.suspect(seen.keeper, now);
    const decision = this.again(pool, claim, now) ?? this.ask(pool, claim, input, now);
    if (decision.answer === 'redirect') {
      this.fences.send(pool.id, seen.token);
      this.host.placed('redirected', tracker.name);
    }
    if (decision.answer === 'nobody') this.host.placed('declined', tracker.name);
    this.host.reopened();
    return decision;
  }

  /** A shift keeps its pool now. */
  joined(shift: PoolShift): void {
    const kept = this.kept.joined(shift);
    if (kept?.to !== undefined) this.give(kept, shift, kept.to);
  }

  /** A shift begins here after an attempt that failed, or was not heard of any more. */
  restarted(tracker: string): void {
    this.host.placed('restarted', tracker);
  }

  /**
   * A shift is over, and its fence is free. Harmless for one that was not taken.
   * @param end undefined: it has failed
   * @returns the node on which the next shift should be
   */
  over(claim: PoolClaim, end: ShiftEnd | undefined): string | undefined {
    const id = idOf(claim);
    const failed = end === undefined || end === 'fenced';
    const kept = this.kept.over(claim, failed);
    if (!kept) return undefined;
    const { to, other, token } = kept;
    if (other && failed) {
      // Given away meanwhile: told when it keeps the pool, if it does not yet.
      other.to ??= to;
      if (to !== undefined && other.shift) this.give(other, other.shift, to);
      return undefined;
    }
    const goesOn = end === 'elapsed' || end === 'asked' || end === 'moved' || end === 'handed back';
    if (goesOn && to === undefined && !this.ending && !this.lost) {
      // The pool stays where it is, however often a shift of it ends: dealt anew each time, pools never come to rest.
      // Until it is here again it counts as if it were.
      this.kept.returns(id, token, this.now() + PLACEMENT.handOverMs);
      this.host.reopened();
      return this.host.row.name;
    }
    if (goesOn && to !== undefined) this.placer.released(id, this.now());
    else this.placer.ended(id);
    this.host.reopened();
    return goesOn ? to : undefined;
  }

  // ── The node's row ──

  word(): NodeWord {
    const { host, placer, settings } = this;
    const now = this.now();
    const cluster = placer.view(now);
    const pulse = host.figures.pulse();
    settings.reach(host.figures.isTemporalAway);
    settings.feel(pulse.lagMs, canOthersTake(cluster), host.incarnation?.crashes ?? 0, this.upMs, now);
    placer.settings = settings.current();
    return {
      placement: placer.row(now),
      figures: host.figures.word(pulse, {
        share: loadAndShare(cluster).share ?? null,
        ...settings.factors,
        lacks: settings.lacks,
        stuck: stuckPools(cluster, placer.pools.values()).length,
      }),
    };
  }

  /** @returns whether there is something new to say at once */
  heard({ wishes, peers }: Attended): boolean {
    this.settings.wish(wishes);
    this.placer.settings = this.settings.current();
    this.peers = peers;
    this.heardAt = this.now();
    return this.placer.observe(
      peers.map(({ row }) => row),
      this.now(),
    );
  }

  /** The name is this process's, or another one has it. */
  named(lost: boolean): void {
    if (lost && !this.lost) {
      this.host.log.error(
        `another process has taken the name ${this.host.row.name}: this one takes no more pools; end one of the two`,
      );
    }
    this.lost = lost;
    this.settings.leave(this.ending || lost);
    this.placer.settings = this.settings.current();
  }

  /** Whether the process takes tasks. Until it does, no pool is asked for, and nobody gives it one. */
  take(taking: boolean): void {
    this.settings.take(taking);
    this.placer.settings = this.settings.current();
    this.host.reopened();
  }

  /** The trackers that there are, for what it may keep. */
  async read(db: Queryable): Promise<void> {
    this.settings.know(await runningTrackers(db));
    this.placer.settings = this.settings.current();
  }

  // ── What is to be done a few times a second ──

  /** Called by the node's tick. */
  tick(nowMs: number): void {
    const wait = this.placer.awaited().length > 0 || this.ending ? QUICK_MS : LOOK_MS;
    if (this.looking || (nowMs - this.lookedAt < wait && nowMs >= this.lookedAt)) return;
    this.lookedAt = nowMs;
    void this.look();
  }

  /** Never rejects. */
  look(): Promise<void> {
    this.looking ??= this.seeFences()
      .catch((thrown: unknown) => {
        this.host.log.debug({ err: errorOf(thrown) }, 'pools on their way cannot be looked at now');
      })
      .then(() => this.giveAway())
      .finally(() => (this.looking = undefined));
    return this.looking;
  }

  /** The node ends: it keeps nothing, and gives what others may keep. */
  end(): void {
    this.ending = true;
    this.settings.leave(true);
    this.placer.settings = this.settings.current();
    void this.look();
  }

  /** The rows are as new as they can be: pools that no other node may keep do not wait for one. */
  handBackTheRest(): void {
    this.handsBack = true;
    void this.look();
  }

  /** The facts that `openings.ts` goes by, as far as they are known here. */
  opening(): Omit<OpeningFacts, 'able'> & { lost: boolean } {
    const { placer, lost, peers } = this;
    const now = this.now();
    const cluster = placer.view(now);
    const begins = mayBegin(cluster, peers, this.host.incarnation?.before, this.upMs, now);
    return {
      lost,
      roomy: hasRoom(cluster),
      mayAsk: placer.opensSharedQueues(now) && begins,
    };
  }

  /** Its load, and its share of all. */
  load(): { load: number; share: number | undefined } {
    return loadAndShare(this.placer.view(this.now()));
  }

  /** How many nodes the cluster should have; undefined: the others were not seen a short while ago. */
  wantedNodes(): number | undefined {
    const now = this.now();
    if (now - this.heardAt >= PLACEMENT.staleMs) return undefined;
    return wantedNodesOf(this.placer.view(now), this.peers, this.host.figures.eventLoop);
  }

  private get upMs(): number {
    return performance.now() - this.startedAt;
  }

  private now(): number {
    return this.host.clock.now();
  }

  /** A pool that is here, or was until a moment ago, is not placed anew. undefined: it is another one. */
  private again(pool: PlacedPool, claim: PoolClaim, now: number): Decision | undefined {
    const kept = this.kept.get(pool.id);
    if (!kept) return undefined;
    if (kept.claim === undefined && kept.to !== undefined) {
      this.kept.delete(pool.id);
      this.placer.released(pool.id, now);
      return { answer: 'redirect', to: kept.to };
    }
    this.kept.came(pool.id, claim);
    if (kept.to === undefined) this.placer.resized(pool);
    return { answer: 'take' };
  }

  private ask(pool: PlacedPool, claim: PoolClaim, input: ShiftInput, now: number): Decision {
    // Tried again by Temporal, it comes from a node that died, wherever its first attempt came from.
    const retried = claim.attempt > 1;
    const { hops = 0, waitedMs = 0, from } = retried ? {} : input;
    const arrival = { hops, waitedMs, from, retried };
    const decision = this.placer.offered(pool, arrival, now, this.random());
    if (decision.answer === 'take') this.kept.came(pool.id, claim);
    return decision;
  }

  private give(kept: Kept, shift: PoolShift, to: string): void {
    this.fences.send(idOf(shift.claim), shift.token);
    kept.to = to;
    shift.log.info({ to }, 'gives the pool to another node');
    this.host.placed('moved', shift.trackerName);
    if (this.ending) shift.givenAway.give('handed back', LEAVING_MS);
    else shift.givenAway.give('moved', Infinity);
  }

  /** Looks at the fences of pools that were sent on. */
  private async seeFences(): Promise<void> {
    const returning = new Map<string, number>();
    for (const [id, { token }] of this.kept.between()) if (token !== undefined) returning.set(id, token);
    for (const { id, node, takenAt } of await this.fences.look(this.placer.awaited(), returning)) {
      // Nobody has come in time, and this node keeps it meanwhile (`meanwhile.ts`): it is on its way as before.
      if (node === this.host.row.name) continue;
      this.placer.taken(id, node, this.host.clock.fromStore(takenAt), this.now());
      // By an operator's order, or where nobody was here in time, another node has one that was to come back.
      this.notBack(id);
    }
  }

  /** A pool that was to come back here does not. */
  private notBack(id: string): void {
    const kept = this.kept.get(id);
    if (!kept || kept.claim) return;
    this.kept.delete(id);
    // One that was given away is on its way as far as placement knows, and has been taken.
    if (kept.to === undefined) this.placer.ended(id);
  }

  private giveAway(): void {
    const now = this.now();
    for (const [id, { shift }] of this.kept.all()) {
      const grown = shift && grownPool(this.placer.pools.get(id), shift);
      if (grown) this.placer.resized(grown);
    }
    for (const id of this.kept.overdue(now)) {
      this.kept.delete(id);
      // Also where it was given away: what becomes of it is not this node's business any more.
      this.placer.ended(id);
    }
    // While Temporal is away nobody could begin the next shift of what is given: the pool would have no keeper.
    const isAway = this.host.figures.isTemporalAway && !this.ending;
    for (const { pool, to } of isAway ? [] : this.placer.moves(now)) {
      const kept = this.kept.get(pool.id);
      if (!kept) continue;
      kept.to = to;
      if (kept.shift) this.give(kept, kept.shift, to);
      else if (kept.token !== undefined) this.fences.send(pool.id, kept.token);
    }
    if (this.handsBack) this.handBack();
    this.host.reopened();
  }

  private handBack(): void {
    const stuck = new Set(stuckPools(this.placer.view(this.now()), this.placer.pools.values()));
    for (const [id, { shift, to }] of this.kept.all())
      if (shift && to === undefined && stuck.has(id)) shift.end('handed back');
  }
}
