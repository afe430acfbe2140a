/**
 * The model of the rows against the functions in PostgreSQL: the same statements in the same order give the same
 * answers.
 */
import { pino } from 'pino';
import fc from 'fast-check';
import { hashOf } from '../../activities/durable/keys';
import {
  attemptNotStarted,
  renewTasks,
  settleTask,
  takeTask,
  type TaskClaim,
  type TaskSpec,
} from '../../activities/durable/store/tasks';
import { Database } from '../../activities/lib/database';
import { compensationOf } from '../../workflows/durable/contract';
import { histories } from '../support/simulate';
import { Stack } from '../support/stack';
import { LeaseModel } from './lease-model';

/** So long that what passes between two statements does not matter; time goes on by moving all rows into the past. */
const TTL_MS = 1_000_000;

let stack: Stack;
let database: Database;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
});
afterAll(async () => {
  await database.close();
  await stack.close();
});

type Step =
  | {
      do: 'take';
      call: number;
      step: number;
      owner: number;
      attempts: number;
      keyed: boolean;
      resource: boolean;
      input: number;
      refuse: boolean;
    }
  | { do: 'undo'; call: number; step: number; saga: number; owner: number; attempts: number }
  | {
      do: 'settle';
      claim: number;
      to: 'completed' | 'waiting' | 'failed' | 'discarded';
      unused: boolean;
      strict: boolean;
      retryMs: number;
    }
  | { do: 'renew'; claim: number }
  | { do: 'not started'; claim: number }
  | { do: 'wait'; ms: number };

const small = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('take' as const),
      call: fc.nat(9),
      step: fc.nat(4),
      owner: small,
      attempts: fc.integer({ min: 1, max: 3 }),
      keyed: fc.boolean(),
      resource: fc.boolean(),
      input: fc.nat(1),
      refuse: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('undo' as const),
      call: fc.nat(9),
      step: fc.nat(4),
      saga: fc.nat(4),
      owner: small,
      attempts: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      claim: fc.nat(20),
      to: fc.constantFrom('completed', 'completed', 'waiting', 'failed', 'discarded'),
      unused: fc.boolean(),
      strict: fc.boolean(),
      retryMs: fc.constantFrom(0, 500_000, 3_000_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renew' as const), claim: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('not started' as const), claim: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(300_000, 1_200_000, 5_000_000) }),
  },
);

function specOf(one: Extract<Step, { do: 'take' | 'undo' }>): TaskSpec {
  const undo = one.do === 'undo';
  const run = undo ? `r${one.saga}` : `r${one.step}`;
  const key = undo ? `r${one.step}/pay` : one.keyed ? 'order 17' : null;
  return {
    task: `${run}/${undo ? `undo-${one.step}` : 'pay'}`,
    activity: undo ? compensationOf('pay') : 'pay',
    kind: undo ? 'compensation' : 'activity',
    workflowId: `w ${run}`,
    runId: run,
    ttlMs: TTL_MS,
    attempts: one.attempts,
    resource: !undo && one.resource ? 'account' : null,
    key: key === null ? null : { text: key, hash: hashOf(key) },
    fingerprint: undo || key === null ? null : Buffer.from([one.input]),
    refuseOther: !undo && one.refuse,
    undo: !undo,
    keepFailure: undo,
    retentionMs: 1e10,
    details: undo ? { saga: `w ${run}`, target: key!, taskQueue: 'q', input: null } : null,
  };
}

test('take, settle, renew and give back answer as the model says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 40 }), async (steps) => {
      await stack.sql('truncate longwatch.task, longwatch.idempotency, longwatch.task_run');
      let now = 0;
      const model = new LeaseModel(() => now);
      const claims: TaskClaim[] = [];
      for (const one of steps) {
        now += 1;
        const claim = 'claim' in one && claims.length > 0 ? claims[one.claim % claims.length] : undefined;
        if (one.do === 'wait') {
          now += one.ms;
          await stack.sql(
            `update longwatch.task set lease_expires_at = lease_expires_at - $1::float8 * interval '1 ms',
               retry_at = retry_at - $1::float8 * interval '1 ms', changed_at = changed_at - $1::float8 * interval '1 ms'`,
            [one.ms],
          );
        } else if (one.do === 'take' || one.do === 'undo') {
          const spec = specOf(one);
          const owner = `node-${one.owner}`;
          const { taken, other } = await takeTask(database, spec, owner, null, `${spec.task} ${one.call}`);
          const said = model.take({
            ...{
              task: spec.task,
              activity: spec.activity,
              kind: spec.kind,
              workflow: spec.workflowId,
              run: spec.runId,
              owner,
            },
            ...{
              ttlMs: TTL_MS,
              attempts: spec.attempts,
              resource: spec.resource,
              key: spec.key?.text ?? null,
              undo: spec.undo,
            },
            ...{
              keepFailure: spec.keepFailure,
              fingerprint: spec.fingerprint?.toString('hex') ?? null,
              refuse: spec.refuseOther,
            },
            ...{
              saga: spec.details?.saga ?? null,
              target: spec.details?.target ?? null,
              call: `${spec.task} ${one.call}`,
            },
          });
          expect([taken.outcome, other !== null]).toEqual([said.outcome, said.other]);
          if (taken.outcome === 'run') {
            expect([taken.claim.attempt, taken.claim.used, taken.lastError]).toEqual([
              said.attempt,
              said.used,
              said.error,
            ]);
            claims.push(taken.claim);
          } else if ('source' in taken) {
            expect(taken.source).toBe(said.source);
            if (taken.outcome === 'done') expect(taken.result).toBe(said.result);
            if (taken.outcome === 'failed') expect(taken.error).toEqual(said.error);
          } else if ('owner' in taken) {
            expect(taken.owner).toBe(said.owner);
            expect(Math.abs(taken.waitMs - said.waitMs!)).toBeLessThan(60_000);
          } else if (taken.outcome === 'relied_on') {
            expect(taken.by).toBe(said.owner);
          }
        } else if (claim && one.do === 'settle') {
          const error = one.to === 'completed' ? null : { type: 'E', message: `of ${claim.attempt}` };
          const result = one.to === 'completed' ? `{"by":${claim.attempt}}` : undefined;
          const { strict, to, retryMs } = one;
          const unused = one.unused && to === 'waiting';
          const settled = await settleTask(database, claim, {
            to,
            result,
            error: error ?? undefined,
            retryMs,
            unused,
            lenient: !strict,
          });
          const { spec, owner, attempt } = claim;
          const said = model.settle({
            ...{
              task: spec.task,
              activity: spec.activity,
              run: spec.runId,
              owner,
              attempt,
              to,
              result: result ?? null,
              error,
            },
            ...{ retryMs, key: spec.key?.text ?? null, keepFailure: spec.keepFailure, unused, strict },
          });
          expect(settled.reason).toBe(said);
        } else if (claim && one.do === 'renew') {
          const lost = await renewTasks(database, claim.owner, [claim]);
          const said = model.renew(claim.owner, [{ task: claim.spec.task, attempt: claim.attempt, ttlMs: TTL_MS }]);
          expect([...lost]).toEqual(said.map(({ task, reason }) => [task, reason]));
        } else if (claim) {
          await attemptNotStarted(database, claim);
          model.notStarted(claim.spec.task, claim.owner, claim.attempt);
        }
      }
      type Row = {
        task: string;
        state: string;
        owner: string | null;
        attempt: number;
        unused: number;
        users: string[] | null;
        undoing: boolean;
      };
      const rows = await stack.sql<Row>(
        'select task, state, owner, attempt, unused, users, undoing from longwatch.task order by task',
      );
      const kept = [...model.tasks.values()].sort((a, b) => (a.task < b.task ? -1 : 1));
      expect(rows).toEqual(
        kept.map(({ task, state, owner, attempt, unused, users, undoing }) => ({
          task,
          state,
          owner,
          attempt,
          unused,
          users,
          undoing,
        })),
      );
      const keys = await stack.sql<{ id: string; task: string; others: number }>(
        `select activity || ' ' || key as id, task, others from longwatch.idempotency order by 1`,
      );
      const ids = [...model.keys].sort(([a], [b]) => (a < b ? -1 : 1));
      expect(keys).toEqual(ids.map(([id, { task, others }]) => ({ id, task, others })));
    }),
    histories(60),
  );
});
