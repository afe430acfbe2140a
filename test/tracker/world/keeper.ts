/**
 * Temporal and the `shift` activity in the simulated world of a node (`world.ts`): one shift of a pool after the other,
 * on any node; where Temporal does not hear of a node any more, another one has the next attempt while the first may go
 * on. The fence, the loading, the shift and its end are the real ones; what an activity's context is there for
 * (heartbeats, cancellation) is done here as `keep.ts` does it.
 */
import { pino } from 'pino';
import type { PoolClaim } from '../../../activities/tracker/store/fence';
import { failure } from '../../../activities/lib/failures';
import { begin } from '../../../activities/tracker/shift/keep';
import { take } from '../../../activities/tracker/shift/take-pool';
import type { Ending, PoolShift } from '../../../activities/tracker/shift/pool-shift';
import { WindDown } from '../../../activities/tracker/shift/wind-down';
import { ErrorType } from '../../../workflows/lib/errors';
import type { ShiftEnd } from '../../../workflows/tracker/contract';
import type { TrackerDefinition } from '../../../exports';
import type { SimulatedNode, Surroundings } from './node';

const log = pino({ level: 'silent' });
/** Temporal's heartbeat time-out, and the shift's patience with the store. Milliseconds. */
const HEARTBEAT_MS = 1_000;
const PATIENCE_MS = 2_000;

/** The way of the next shift, as the pool's workflow knows it. */
interface Way {
  to?: string;
  hops?: number;
  since?: number;
  from?: string;
}

interface Ended {
  end: ShiftEnd;
  to?: string;
}

/** As `workflows/tracker/plan.ts` has it. */
function wayAfter(before: Way, { end, to }: Ended, node: string, now: number): Way {
  if (to === undefined || end === 'stopped' || end === 'fenced') return {};
  if (end === 'redirected') return { ...before, to, hops: (before.hops ?? 0) + 1, since: before.since ?? now };
  return to === node ? { to, from: node } : { to, hops: 1, since: now, from: node };
}

export class Keeper {
  /** By pool: the run that Temporal calls the current one. */
  private readonly current = new Map<number, string>();
  /** Nobody starts in a shift that is being wound down, so its members may wait. */
  readonly winding = new Set<PoolShift>();
  shifts = 0;

  constructor(
    private readonly world: Surroundings & { nodes: SimulatedNode[] },
    /** The user's code, for one shift. */
    private readonly definitionOf: (node: SimulatedNode) => TrackerDefinition,
    private readonly shiftMs: () => number,
  ) {}

  /** A pool's workflow. Never ends. */
  async drive(pool: number): Promise<void> {
    const { draw, time } = this.world;
    let [run, shift, attempt] = [1, 1, 1];
    let way: Way = {};
    for (;;) {
      const runId = `run ${pool} ${run}`;
      this.current.set(pool, runId);
      const node = await this.nodeFor(way);
      if (!node) way = {};
      if (!node) continue;
      const { name: tracker } = this.world.store.tracker;
      const claim: PoolClaim = { tracker, pool, runId, shift, attempt, node: node.name };
      const ended = await Promise.race([this.keep(node, claim, way), this.lose(node)]);
      const isOwn = way.to !== undefined;
      if (ended === 'lost' || ended instanceof Error) {
        // Temporal tries it again where it came by the shared queue; its workflow has the next shift else.
        if (isOwn) [shift, attempt] = [shift + 1, 1];
        else attempt++;
        way = {};
        await time.sleep(draw.between(10, 200));
      } else {
        shift++;
        attempt = 1;
        way = wayAfter(way, ended, node.name, time.now);
        // As new: the numbers go on, the run is another one.
        if (draw.chance(0.2)) run++;
        await time.sleep(draw.between(0, 30));
      }
    }
  }

  /** By its own queue where the last shift says so; undefined: that node did not begin it in time. */
  private async nodeFor({ to }: Way): Promise<SimulatedNode | undefined> {
    if (to === undefined) return this.world.draw.one(this.world.nodes);
    const node = this.world.nodes.find(({ name, isWell }) => name === to && isWell);
    if (!node) await this.world.time.sleep(1_000);
    return node;
  }

  /** Until Temporal does not hear of the node any more, rightly or not. */
  private async lose(node: SimulatedNode): Promise<'lost'> {
    const { time, draw } = this.world;
    for (;;) {
      await time.sleep(200);
      if (node.isWell) node.silentSince = undefined;
      else node.silentSince ??= time.now;
      if (node.silentSince !== undefined && time.now - node.silentSince >= HEARTBEAT_MS) return 'lost';
      if (draw.chance(this.world.faults() * 0.5)) return 'lost';
    }
  }

  /** One attempt. An Error: Temporal tries again. */
  private async keep(node: SimulatedNode, claim: PoolClaim, way: Way): Promise<Ended | Error> {
    const ended = await this.takeAndKeep(node, claim, way);
    if (ended instanceof Error) {
      node.placing.over(claim, undefined);
      return ended;
    }
    return { ...ended, to: node.placing.over(claim, ended.end) ?? ended.to };
  }

  private async takeAndKeep(node: SimulatedNode, claim: PoolClaim, way: Way): Promise<Ended | Error> {
    const deps = { node, database: node.database, temporal: { isCurrent: () => this.isCurrent(claim) } };
    try {
      await node.wait(this.world.draw.between(0, 5));
      const { hops, from, since } = way;
      const waitedMs = since === undefined ? undefined : this.world.time.now - since;
      const input = { ...claim, durationMs: 0, hops, from, waitedMs };
      const taken = await take(deps, claim, input);
      if ('answer' in taken) {
        if (taken.answer === 'redirect') return { end: 'redirected', to: taken.to };
        return failure(ErrorType.Declined, 'nobody may keep it');
      }
      const shift = await begin(deps, claim, taken, this.definitionOf(node), log).finally(() => taken.arrived());
      this.shifts++;
      return await this.until(node, shift);
    } catch (thrown) {
      const error = thrown as Error & { type?: unknown };
      if (error.type === ErrorType.Fenced) return { end: 'fenced' };
      if (error instanceof TypeError || error instanceof RangeError) this.world.broken(error);
      return error;
    }
  }

  private isCurrent({ pool, runId }: PoolClaim): Promise<boolean> {
    return Promise.resolve(this.current.get(pool) === runId);
  }

  private async until(node: SimulatedNode, shift: PoolShift): Promise<Ended | Error> {
    const { time } = this.world;
    let ending: Ending | undefined;
    void shift.ended.then((how) => (ending = how));
    const until = time.now + this.shiftMs();
    let down: WindDown | undefined;
    while (ending === undefined) {
      await node.wait(down ? 10 : 50);
      if (shift.refusedFor(performance.now()) > PATIENCE_MS)
        shift.end(failure(ErrorType.StoreUnavailable, 'nothing of this pool could be written'));
      if ((time.now >= until || shift.givenAway.to) && !down) {
        down = new WindDown(shift, node.clock.now() + 3_000);
        this.winding.add(shift);
      }
      if (!shift.isOver && down?.step(node.clock.now())) shift.end(shift.givenAway.to?.how ?? 'elapsed');
    }
    shift.close();
    for (const most = time.now + 100; shift.inFlight > 0 && time.now < most;) await node.wait(10);
    shift.abandon('the shift is over');
    if (ending !== 'fenced') await node.writer.flush();
    node.leave(shift);
    return ending instanceof Error ? ending : { end: ending };
  }
}
