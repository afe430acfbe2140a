/**
 * The rows of durable activities as a model in memory: what `take_task`, `settle_task` and the renewal do, with a clock
 * of its own. The simulated world (`lease-world.ts`) runs Longwatch's real code on it, thousands of histories a minute;
 * `lease-model.test.ts` holds it against the real functions in PostgreSQL, statement by statement. One class, because
 * every statement works on the same rows.
 */
import type { KeyRow, SettleInput, TakeInput, TakeOutput, TaskRow } from './lease-rows';

const ENDED = ['completed', 'resolved', 'failed'];
const LOST = { type: 'WorkerLost', message: 'the worker that had it is gone' };

export class LeaseModel {
  readonly tasks = new Map<string, TaskRow>();
  readonly keys = new Map<string, KeyRow>();

  constructor(private readonly now: () => number) {}

  take(input: TakeInput): TakeOutput {
    const { task, activity, key: keyText } = input;
    const keyId = keyText === null ? null : `${activity} ${keyText}`;
    const mine = this.tasks.get(task);
    const key = keyId === null ? undefined : this.keys.get(keyId);
    if (mine && key?.task === task && ENDED.includes(mine.state) && !mine.undoing) return ended(mine);
    // Another one's key is looked at before the task's own end, as the statement does.
    const early = key && key.task !== task ? this.tasks.get(key.task) : undefined;
    const same =
      key && (key.fingerprint === null || input.fingerprint === null || key.fingerprint === input.fingerprint);
    if (
      early &&
      ENDED.includes(early.state) &&
      !early.undoing &&
      (same || (key!.otherTask === task && !input.refuse))
    ) {
      if (!input.undo || early.state === 'failed' || usersOf(early).includes(input.workflow)) return ended(early);
    }
    const expired = mine?.resource != null && mine.leaseUntil !== null && mine.leaseUntil <= this.now();
    if (mine?.state === 'leased' && mine.call === input.call && expired) {
      Object.assign(mine, { state: 'waiting', owner: null, leaseUntil: null, unused: mine.unused + 1 });
    }
    const mayHold = mine && (mine.resource === null || mine.leaseUntil! > this.now());
    if (mine?.state === 'leased' && mine.call === input.call && mayHold) {
      mine.leaseUntil = this.now() + input.ttlMs;
      const used = mine.attempt - mine.unused;
      return output('run', { source: task, attempt: mine.attempt, used, error: mine.error });
    }
    if (mine && [...ENDED, 'discarded'].includes(mine.state)) return ended(this.tasks.get(mine.madeBy ?? task)!);
    let used = 0;
    let other = false;
    if (keyId !== null) {
      if (!key) {
        this.keys.set(keyId, { task, fingerprint: input.fingerprint, others: 0, otherTask: null });
      } else if (key.task !== task) {
        const holder = this.tasks.get(key.task);
        const valid = holder !== undefined && ENDED.includes(holder.state);
        if ((valid || holder?.state === 'leased' || holder?.state === 'waiting') && !same) {
          if (key.otherTask !== task) {
            key.others += 1;
            key.otherTask = task;
            other = true;
          }
          if (input.refuse) return output('other_input', { source: key.task, other });
        }
        if (valid && !holder.undoing) {
          if (input.undo && holder.state !== 'failed' && !usersOf(holder).includes(input.workflow)) {
            if (mine) Object.assign(mine, { state: 'completed', madeBy: holder.task, owner: null, leaseUntil: null });
            else this.tasks.set(task, { ...this.fresh(input), state: 'completed', madeBy: holder.task, target: null });
            holder.users = [...usersOf(holder), input.workflow];
          }
          return { ...ended(holder), other };
        }
        if (valid || this.holds(holder, input.ttlMs)) {
          const until = holder!.leaseUntil ?? (holder!.retryAt ?? holder!.changedAt) + input.ttlMs;
          const waitMs = valid ? 1_000 : Math.max(0, until - this.now());
          return output('key_held', { owner: holder!.owner, source: key.task, waitMs, other });
        }
        if (holder && (holder.state === 'leased' || holder.state === 'waiting')) {
          used = holder.attempt - holder.unused;
          Object.assign(holder, { state: 'waiting', owner: null, leaseUntil: null, changedAt: this.now() });
        }
        key.task = task;
        key.fingerprint = input.fingerprint;
      }
    }
    return { ...this.lease(input, keyId, used), other };
  }

  private fresh({ task, activity, kind, workflow, run, target, resource, key }: TakeInput): TaskRow {
    return {
      ...{
        task,
        activity,
        kind,
        workflow,
        run,
        target,
        resource,
        key,
        state: 'waiting',
        owner: null,
        attempt: 0,
        unused: 0,
      },
      ...{ leaseUntil: null, result: null, error: null, retryAt: null, changedAt: this.now(), users: null },
      ...{ madeBy: null, call: null, undoing: false },
    };
  }

  private holds(holder: TaskRow | undefined, ttlMs: number): boolean {
    if (holder?.state === 'leased' || holder?.state === 'discarded') return (holder.leaseUntil ?? 0) > this.now();
    return holder?.state === 'waiting' && (holder.retryAt ?? holder.changedAt) + ttlMs > this.now();
  }

  private lease(input: TakeInput, keyId: string | null, taken: number): TakeOutput {
    const now = this.now();
    const { task, target } = input;
    let row = this.tasks.get(task);
    if (!row) {
      row = this.fresh(input);
      this.tasks.set(task, row);
    }
    if (row.state === 'leased' && row.leaseUntil! > now) {
      return output('held', { owner: row.owner, waitMs: row.leaseUntil! - now });
    }
    if (input.resource !== null) {
      for (const one of this.tasks.values()) {
        const busy =
          one.task !== task && one.resource === input.resource && ['leased', 'discarded'].includes(one.state);
        if (busy && one.leaseUntil !== null && one.leaseUntil > now) {
          return output('resource_held', { owner: one.owner, waitMs: one.leaseUntil - now });
        }
      }
    }
    const used = taken + row.attempt - row.unused;
    if (row.state === 'leased') {
      row.error = { type: 'WorkerLost', message: `${row.owner} died or lost its lease during attempt ${used}` };
    }
    if (used >= input.attempts) {
      const error = row.error ?? LOST;
      Object.assign(row, {
        state: 'failed',
        owner: null,
        leaseUntil: null,
        error,
        attempt: row.unused + used,
        changedAt: now,
      });
      this.letGo(row.target);
      if (!input.keepFailure && keyId !== null && this.keys.get(keyId)?.task === task) this.keys.delete(keyId);
      return output('exhausted', { source: task, used, error });
    }
    const claimed = target === null ? null : (this.tasks.get(target)?.madeBy ?? target);
    const relying = claimed === null ? [] : this.claimTarget(input, claimed);
    const running = claimed === null ? undefined : this.tasks.get(claimed);
    if (running?.state === 'discarded' && (running.leaseUntil ?? 0) > now) {
      return output('held', { owner: running.owner, waitMs: running.leaseUntil! - now });
    }
    if (relying.length > 0) {
      Object.assign(row, { state: 'completed', owner: null, leaseUntil: null, result: 'null', changedAt: now });
      if (keyId !== null && this.keys.get(keyId)?.task === task) this.keys.delete(keyId);
      return output('relied_on', { source: task, owner: relying[0] });
    }
    const attempt = row.unused + used + 1;
    const lease = { state: 'leased', owner: input.owner, attempt, leaseUntil: now + input.ttlMs, retryAt: null };
    Object.assign(row, { ...lease, changedAt: now, resource: input.resource, target: claimed, call: input.call });
    return output('run', { source: task, attempt, used: used + 1, error: row.error });
  }

  /** Takes a task back, as a compensation does: it does not come about any more. @returns who else relies on it. */
  private claimTarget(input: TakeInput, target: string): string[] {
    const now = this.now();
    let row = this.tasks.get(target);
    if (!row) {
      row = {
        ...this.fresh({ ...input, task: target, kind: 'activity', workflow: input.saga!, run: target.split('/')[0]! }),
        ...{ state: 'discarded', resource: null, key: null, target: null },
      };
      this.tasks.set(target, row);
    } else if (row.state === 'leased' || row.state === 'waiting') {
      Object.assign(row, { state: 'discarded', changedAt: now });
    } else if (row.state === 'completed') {
      row.users = usersOf(row).filter((user) => user !== input.saga);
      row.undoing = row.users.length === 0;
      return row.users;
    }
    return [];
  }

  private letGo(target: string | null): void {
    const row = target === null ? undefined : this.tasks.get(target);
    if (row) row.undoing = false;
  }

  /** @returns the reason of a refusal. */
  settle(input: SettleInput): string | null {
    const now = this.now();
    const row = this.tasks.get(input.task);
    const reason = this.reason(row, input);
    if (reason !== null && (input.strict || reason !== 'lease_expired')) return reason;
    const free = input.unused && row!.unused < 5;
    Object.assign(row!, {
      ...{ state: input.to, owner: null, leaseUntil: null, changedAt: now, result: input.result },
      error: input.error ?? (input.to === 'completed' ? null : row!.error),
      retryAt: input.to === 'waiting' ? now + input.retryMs : null,
      unused: free ? row!.unused + 1 : row!.unused,
    });
    const target = row!.target === null ? undefined : this.tasks.get(row!.target);
    if (target && input.to === 'completed') {
      const id = `${target.activity} ${target.key}`;
      if (target.key !== null && this.keys.get(id)?.task === target.task) this.keys.delete(id);
    } else if (target && input.to !== 'waiting') {
      target.undoing = false;
    }
    const id = `${input.activity} ${input.key}`;
    const gone = input.to === 'discarded' || (input.to === 'failed' && !input.keepFailure);
    if (gone && this.keys.get(id)?.task === input.task) this.keys.delete(id);
    return null;
  }

  /** Whether a settlement would be refused now. */
  refusal(input: SettleInput): string | null {
    return this.reason(this.tasks.get(input.task), input);
  }

  private reason(row: TaskRow | undefined, { run, owner, attempt }: SettleInput): string | null {
    if (!row) return 'not_found';
    if (row.run !== run) return 'run_mismatch';
    if (row.state !== 'leased') return 'not_leased';
    if (row.owner !== owner) return 'owner_mismatch';
    if (row.attempt !== attempt) return 'attempt_mismatch';
    return row.leaseUntil! <= this.now() ? 'lease_expired' : null;
  }

  /** @returns the lost ones, each with its reason. */
  renew(owner: string, claims: { task: string; attempt: number; ttlMs: number }[]): { task: string; reason: string }[] {
    return claims.flatMap(({ task, attempt, ttlMs }) => {
      const row = this.tasks.get(task);
      const reason = !row
        ? 'not_found'
        : row.state !== 'leased'
          ? 'not_leased'
          : row.owner !== owner
            ? 'owner_mismatch'
            : row.attempt !== attempt
              ? 'attempt_mismatch'
              : row.resource !== null && row.leaseUntil! <= this.now()
                ? 'lease_expired'
                : null;
      if (reason !== null) return [{ task, reason }];
      row!.leaseUntil = this.now() + ttlMs;
      return [];
    });
  }

  stopped(task: string, owner: string, attempt: number): void {
    const row = this.tasks.get(task);
    if (row?.state !== 'discarded' || row.owner !== owner || row.attempt !== attempt) return;
    Object.assign(row, { owner: null, leaseUntil: null });
  }

  notStarted(task: string, owner: string, attempt: number): void {
    const row = this.tasks.get(task);
    if (!row) return;
    row.unused += 1;
    if (row.state !== 'leased' || row.owner !== owner || row.attempt !== attempt) return;
    Object.assign(row, { state: 'waiting', owner: null, leaseUntil: null });
  }
}

const usersOf = (row: TaskRow): string[] => row.users ?? [row.workflow];

function ended(row: TaskRow): TakeOutput {
  const outcome = row.state === 'failed' ? 'failed' : row.state === 'discarded' ? 'discarded' : 'done';
  return output(outcome, { source: row.task, result: row.result, error: row.error });
}

function output(outcome: string, more: Partial<TakeOutput>): TakeOutput {
  const none = { source: null, attempt: null, used: null, owner: null, waitMs: null, result: null, error: null };
  return { ...none, other: false, outcome, ...more };
}
