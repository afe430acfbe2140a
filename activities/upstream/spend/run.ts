/**
 * The spending of one run, batch, page or activity: what was reserved before its code began, drawn by each of its
 * requests, and given back in the end. Made by the shift's dispatcher and by `before.ts`; the HTTP client finds it by
 * `spending.ts`. A run does not wait for what it asks beyond that: a limit that has nothing left ends the request, and
 * so the run. Requests by themselves are here too.
 */
import { unlisted, type Permit, type Spending, type Wanted } from '../spending';
import type { RequestLine, Reservation, Shortage, Spend, Spender, Use } from '../budget/spender';
import { inLine } from './in-line';
import { OutOfTokens } from './shortage';

/** A request by itself waits no longer for its tokens: whoever sent it keeps a place. Milliseconds. */
const IN_LINE_MS = 2_000;

export class RunSpending implements Spending {
  /** By upstream. No map: nearly all runs ask one upstream, and a map costs more than all else of a run here. */
  private readonly reserved: { upstream: string; reservation: Reservation }[] = [];
  /** Code that was given up may go on asking: each of its requests pays for itself, or is refused (`notOfItsRun`). */
  private isOver = false;
  /** The bucket that ended it, where one did. */
  short: Shortage | undefined;

  constructor(
    private readonly spender: Spender,
    readonly use: Use,
  ) {}

  /** Takes what a run of this use usually needs of an upstream, or nothing. @returns the bucket that has nothing */
  reserve(upstream: string): Shortage | undefined {
    if (this.reservationOf(upstream)) return undefined;
    const reservation = this.spender.reserve(upstream, this.use);
    if (reservation.isShort) return reservation;
    this.reserved.push({ upstream, reservation });
    return undefined;
  }

  private reservationOf(upstream: string): Reservation | undefined {
    for (const one of this.reserved) if (one.upstream === upstream) return one.reservation;
    return undefined;
  }

  permit(upstream: string, { method, path, id, signal }: Wanted): Permit | Promise<Permit> {
    const isOthers = id !== undefined && id !== this.use.id;
    if (isOthers || this.isOver) return this.alone(upstream, { method, path, signal }, id ?? this.use.id);
    const drawn = this.reserve(upstream) ?? this.reservationOf(upstream)!.draw({ method, path });
    if (drawn.isShort) this.short = drawn;
    return permitOf(drawn);
  }

  /** The code has ended: what it did not draw goes back. */
  end(): void {
    this.isOver = true;
    for (const { reservation } of this.reserved) reservation.end();
    this.reserved.length = 0;
  }

  /** A request that is not of the run's own member, or comes too late: one by itself. */
  private alone(upstream: string, request: Given, id: string | undefined): Permit | Promise<Permit> {
    const { class: of, by } = this.use;
    return permitOnce(this.spender, upstream, { class: of, by, id }, request);
  }
}

/** The requests that are sent outside of any run: each by itself. */
export class WorkerSpending implements Spending {
  constructor(private readonly spender: Spender) {}

  permit(upstream: string, { id, ...request }: Wanted): Permit | Promise<Permit> {
    return permitOnce(this.spender, upstream, { class: 'call', by: 'calls', id }, request);
  }
}

type Given = Omit<Wanted, 'id'>;

/**
 * A request by itself. One that finds nothing stands in the bucket's line for a moment, for nobody overtakes those who
 * wait, and where there is little somebody always does.
 */
function permitOnce(
  spender: Spender,
  upstream: string,
  use: Use,
  { signal, ...request }: Given,
): Permit | Promise<Permit> {
  let drawn = drawOnce(spender, upstream, use, request);
  if (!drawn.isShort) return drawn;
  const again = (): Shortage | undefined => {
    drawn = drawOnce(spender, upstream, use, request);
    return drawn.isShort ? drawn : undefined;
  };
  return inLine(drawn, again, { class: use.class, inLineMs: IN_LINE_MS, signal }).then(() => permitOf(drawn));
}

/** A worker whose config has no upstream with limits: one that code asks all the same would be limited by nobody. */
export const UNLISTED: Spending = {
  permit(upstream) {
    throw unlisted(upstream);
  },
};

function drawOnce(spender: Spender, upstream: string, use: Use, request: RequestLine): Spend | Shortage {
  const reserved = spender.reserve(upstream, use, 1);
  if (reserved.isShort) return reserved;
  try {
    return reserved.draw(request);
  } finally {
    reserved.end();
  }
}

function permitOf(spend: Spend | Shortage): Permit {
  if (spend.isShort) throw new OutOfTokens(spend);
  return spend;
}
