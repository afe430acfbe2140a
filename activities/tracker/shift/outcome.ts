/**
 * The outcome of a run: read from what its code returned or threw, kept for the next flush and in what is known of its
 * member, and until when the member is left alone for it. Told by `operation.ts` of each run that ends, and by the
 * flush of a value that the store would not have.
 */
import { boundsOf } from '../../../workflows/tracker/options';
import { errorText } from '../../../workflows/lib/text';
import { readHold } from '../../upstream/errors';
import type { Operation, OperationHost } from './host';
import type { Known } from './known';
import type { Members } from './members';
import { PendingResults } from './pending';
import { ownDelay } from './retry-delay';
import { readResult, type Failure, type Success } from './results';
import type { Run } from './run';

/** Until when a member is left alone (0: until its next time); `exactly`: it runs right then, also before that. */
export interface Rest {
  until: number;
  exactly: boolean;
}

export class Outcome {
  /** Results that the store does not have yet. */
  readonly results = new PendingResults();
  private warnedOfExpiry = false;
  private warnedOfScope = false;
  private warnedOfDelay = false;

  constructor(
    private readonly loop: Pick<Operation, 'tracker' | 'name' | 'definition' | 'options' | 'counts' | 'log'> & {
      readonly host: OperationHost;
      readonly members: Members;
      readonly known: Known;
    },
  ) {}

  /**
   * A run has returned. Until its expiry, or (0) its next time, its member is left alone.
   * @throws where that is nothing that can be kept: the run has failed
   */
  success(run: Run, result: unknown, now: number): number {
    const { tracker, name, definition, options, host, members, known } = this.loop;
    const read = readResult(result, `operation ${name}`, definition);
    const { slot } = run;
    if (known.unstored.size > 0 && known.unstored.has(slot)) {
      if (read.json === null) throw new Error('unchanged since a value that could not be stored; it is asked for anew');
      known.unstored.delete(slot);
    }
    if (read.oddExpiry) this.warnOfExpiry(run.id);
    const expiresAt =
      read.expiresAt === null
        ? null
        : Math.min(now + boundsOf(options).maxExpiryMs, host.clock.ofMachine(read.expiresAt));
    // It began before it was to be asked anew, or before this node had heard of that.
    const anew = run.overtaken || run.startedAt <= host.holds.askedAt(tracker, name, run.id);
    // Not the last word: code of another version must not take it for its own.
    const passing = anew || !known.isOfVersion;
    const keptUntil = passing ? null : expiresAt;
    const etag = passing ? null : (read.etag ?? (read.json === null ? (known.etag(slot) ?? null) : null));
    const key = members.key(slot);
    const { json, codec, fed } = read;
    const success: Success = { key, json, etag, fetchedAt: now, expiresAt: keptUntil };
    if (codec !== undefined) Object.assign(success, { codec, fed });
    this.results.succeed(slot, success);
    known.learn(slot, success);
    return anew ? 0 : (expiresAt ?? 0);
  }

  /**
   * A run has failed. Its member is left alone until the end of the hold that it asked for, or as long as the
   * definition says, or for the longer interval of one that fails again and again, or until its next time.
   */
  failure(run: Run, error: Error, now: number): Rest {
    const { tracker, name, options, host, members, known, counts } = this.loop;
    const { slot } = run;
    const { maxHoldMs, maxBackoffMs } = boundsOf(options);
    const inARow = (known.failuresInARow.get(slot) ?? 0) + 1;
    const alone = known.patience.failed(slot, error, options.everyMs, maxBackoffMs);
    const wish = readHold(error, maxHoldMs);
    const own = wish ? undefined : this.ownDelay(run, inARow, error, maxBackoffMs);
    const holdMs = wish ? wish.forMs : (own ?? (alone > 0 ? alone : null));
    const heldUntil = holdMs === null ? null : now + holdMs;
    if (wish?.oddScope !== undefined) this.warnOfScope(wish.oddScope);
    if (wish && wish.scope !== 'member') {
      const operation = wish.scope === 'operation' ? name : undefined;
      host.holds.hold(tracker, operation, heldUntil!, { at: now, reason: errorText(error) });
    }
    counts.failed++;
    known.failuresInARow.set(slot, inARow);
    this.results.fail(slot, { key: members.key(slot), failedAt: now, error: errorText(error), heldUntil, inARow });
    return { until: heldUntil ?? 0, exactly: own !== undefined };
  }

  /** The definition's own word on when it is tried again, milliseconds; undefined: it says nothing. */
  private ownDelay(run: Run, attempt: number, error: Error, mostMs: number): number | undefined {
    const said = ownDelay(this.loop.definition, attempt, error, mostMs);
    if (said === undefined || 'ms' in said) return said?.ms;
    if (!this.warnedOfDelay) {
      this.warnedOfDelay = true;
      this.loop.log.warn(
        { id: run.id, err: said.problem },
        'retryDelay has failed; the built-in rule holds in its place',
      );
    }
    return undefined;
  }

  /**
   * The store will not have this result, whatever is tried: a failure of its member, which is asked for its value anew.
   */
  refused(slot: number, result: Success | Failure): void {
    const { members, known, counts } = this.loop;
    counts.failed++;
    if (!('json' in result) || !members.holds(slot, result.key)) return;
    // A value that has come since is a success after it, and has an ETag of its own.
    if (!this.results.dropUnchanged(slot)) return;
    const inARow = (known.failuresInARow.get(slot) ?? 0) + 1;
    known.failuresInARow.set(slot, inARow);
    this.results.countAs(slot, inARow);
    known.mistrust(slot);
  }

  /** Once a shift: it is the code's mistake, made for every member. */
  private warnOfExpiry(id: string): void {
    if (this.warnedOfExpiry) return;
    this.warnedOfExpiry = true;
    this.loop.log.warn(
      { id },
      'a run returned an expiresAt that is not a time; its value is kept, and it runs again at its interval',
    );
  }

  /** Once a shift, as above. */
  private warnOfScope(scope: string): void {
    if (this.warnedOfScope) return;
    this.warnedOfScope = true;
    this.loop.log.warn(
      { scope },
      "a HoldError came with a scope that there is not; it holds the operation. Use 'member', 'operation' or 'tracker'",
    );
  }
}
