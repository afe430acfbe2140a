/**
 * The checks of `longwatch doctor`, a row each: what it reads, what is wrong in a sentence, and the command that goes
 * on from there. Pure: facts in, findings out. A check whose facts are missing says that it does not know, which is
 * never the same as well. Run by `doctor.ts`.
 */
import { CLUSTER_CHECKS } from './cluster-checks';
import { MEMBER_CHECKS } from './member-checks';
import { count, duration, groupBy, notice, plural, problem, type Check } from './check';
import type { Status, TrackerSummary } from '../status';

/** An upstream may well ask for some minutes. */
const LONG_HOLD_MS = 15 * 60_000;
/** Shards report each half second while anything happens. */
const OLD_REPORT_MS = 60_000;
const REPLICA_BEHIND_MS = 60_000;
/** Below so many runs a share says nothing. */
const RUNS = 100;

export const CHECKS: readonly Check[] = [
  ...CLUSTER_CHECKS,
  {
    id: 'namespace',
    reads: "Temporal's namespace and the note of its database",
    needs: ['namespace'],
    look: ({ namespace }) =>
      namespace === null ? [] : [problem(namespace, 'npx longwatch status, with the right --namespace')],
  },
  {
    id: 'encoding',
    reads: 'whether the workers have a payload codec, and this program',
    needs: ['encoding'],
    look: ({ encoding }) => (encoding === null ? [] : [problem(encoding, 'give this program the same dataConverter')]),
  },
  {
    id: 'no-worker',
    reads: "the pollers of Temporal's task queue",
    needs: ['polled', 'status'],
    look: ({ polled, status }) =>
      polled || !anythingRuns(status)
        ? []
        : [
            problem(
              'no worker has asked for work in the last minute',
              'npx longwatch worker --config longwatch.config.ts',
            ),
          ],
  },
  {
    id: 'silent-node',
    reads: "the nodes' rows",
    needs: ['silent'],
    look: ({ silent }) =>
      silent.map(({ name, host, silentMs, pools }) =>
        notice(
          `node ${name} on ${host} has not been heard of for ${duration(silentMs)} and did not say that it ends` +
            (pools > 0 ? `; ${plural(pools, 'pool')} still written down as its own` : ''),
          'look whether its process still runs; other nodes take its pools by themselves',
        ),
      ),
  },
  {
    id: 'quarantined',
    reads: 'pools that crashed three times in a row',
    needs: ['quarantined'],
    look: ({ quarantined }) =>
      [...groupBy(quarantined, ({ tracker }) => tracker)].map(([tracker, pools]) =>
        problem(
          `${pools.length === 1 ? `pool ${pools[0]!.pool}` : plural(pools.length, 'pool')} of ${tracker} ` +
            `${pools.length === 1 ? 'is' : 'are'} in quarantine: ${pools[0]!.lastError ?? 'no error was noted'}`,
          `npx longwatch resume ${tracker}`,
        ),
      ),
  },
  {
    id: 'gate',
    reads: 'the gates of trackers that run',
    needs: ['status'],
    look: ({ status }) =>
      running(status).flatMap(({ name, gate }) => {
        if (gate === 'closed')
          return [problem(`the gate of ${name} is closed, so nothing gated runs`, `npx longwatch status ${name}`)];
        if (gate === 'unknown') {
          return [
            problem(
              `the gate of ${name} has no answer that is new enough, which counts as closed`,
              `npx longwatch status ${name}`,
            ),
          ];
        }
        return [];
      }),
  },
  {
    id: 'long-hold',
    reads: 'what upstreams asked to be left alone for',
    needs: ['status'],
    look: ({ status }) =>
      running(status).flatMap(({ name, holds }) =>
        holds
          .filter(({ leftMs }) => leftMs > LONG_HOLD_MS)
          .map(({ operation, leftMs, reason }) =>
            notice(
              `${operation === null ? name : `${name}.${operation}`} is held for another ${duration(leftMs)}: ${reason}`,
              `npx longwatch hold open ${name}${operation === null ? '' : ` ${operation}`}`,
            ),
          ),
      ),
  },
  {
    id: 'stale',
    reads: 'the age of stored values against interval, expiry and hold',
    needs: ['status'],
    look: ({ status }) =>
      operationsOf(status).flatMap(({ tracker, operation: { name, stale, everyMs, staleExact } }) =>
        stale > 0
          ? [
              problem(
                `${staleExact ? '' : 'about '}${count(stale)} of ${count(tracker.members)} values of ${tracker.name}.${name} are older than three times ` +
                  `what they may be (every ${duration(everyMs)})`,
                `npx longwatch status ${tracker.name}`,
              ),
            ]
          : [],
      ),
  },
  {
    id: 'late',
    reads: 'how long after they were due the runs of the last minute began',
    needs: ['status'],
    look: ({ status }) =>
      operationsOf(status).flatMap(({ tracker, operation: { name, lateP99Ms, everyMs } }) =>
        lateP99Ms !== null && lateP99Ms > Math.max(everyMs, 1_000)
          ? [
              notice(
                `one in a hundred runs of ${tracker.name}.${name} began ${duration(lateP99Ms)} late, and its interval is ${duration(everyMs)}`,
                'give it more concurrency, a longer interval or another worker',
              ),
            ]
          : [],
      ),
  },
  {
    id: 'failing',
    reads: 'runs that failed and that did not, since the nodes started',
    needs: ['status'],
    look: ({ status }) =>
      operationsOf(status).flatMap(({ tracker, operation: { name, fetched, failed } }) =>
        fetched + failed >= RUNS && failed > fetched
          ? [
              problem(
                `most runs of ${tracker.name}.${name} have failed (${count(failed)} of ${count(fetched + failed)})`,
                `npx longwatch list ${tracker.name} --limit 5, then: npx longwatch show ${tracker.name} ID`,
              ),
            ]
          : [],
      ),
  },
  {
    id: 'paused',
    reads: 'the states of trackers, buffers and jobs',
    needs: ['status'],
    look: ({ status: { trackers, buffers, jobs } }) =>
      [...trackers, ...buffers, ...jobs]
        .filter(({ state }) => state === 'paused')
        .map(({ name }) => notice(`${name} is paused`, `npx longwatch resume ${name}`)),
  },
  {
    id: 'buffer-counts',
    reads: "the counts of buffers' shards",
    needs: ['status'],
    look: ({ status }) =>
      status.buffers
        .filter(({ balanced }) => !balanced)
        .map(({ name }) =>
          problem(
            `the counts of buffer ${name} do not add up: accepted is not done + pending + running + dead + merged + dropped`,
            `please report it with: npx longwatch status ${name} --json`,
          ),
        ),
  },
  {
    id: 'buffer-silent',
    reads: "when buffers' shards reported last",
    needs: ['status'],
    look: ({ status }) =>
      status.buffers
        .filter(
          ({ state, ageMs, pending, running }) => state === 'running' && pending + running > 0 && ageMs > OLD_REPORT_MS,
        )
        .map(({ name, ageMs, pending }) =>
          problem(
            `buffer ${name} has entries to handle (${count(pending)}) and has not reported for ${duration(ageMs)}`,
            `npx longwatch start ${name}`,
          ),
        ),
  },
  {
    id: 'buffer-errors',
    reads: 'the last errors of buffers',
    needs: ['status'],
    look: ({ status }) =>
      status.buffers
        .filter(({ lastError }) => lastError !== null)
        .map(({ name, lastError }) =>
          notice(`the last batch of buffer ${name} that failed: ${lastError}`, `npx longwatch status ${name}`),
        ),
  },
  {
    id: 'dead-letters',
    reads: 'entries that used all of their attempts',
    needs: ['status'],
    look: ({ status }) =>
      status.buffers
        .filter(({ dead }) => dead > 0)
        .map(({ name, dead }) =>
          notice(`buffer ${name} has ${plural(dead, 'dead letter')}`, `npx longwatch dead list ${name}`),
        ),
  },
  ...MEMBER_CHECKS,
  {
    id: 'job-stuck',
    reads: 'ticks of jobs that cannot go on',
    needs: ['status'],
    look: ({ status }) =>
      status.jobs.flatMap(({ name, kind, open }) =>
        open?.error
          ? [problem(`the tick of ${kind} ${name} cannot go on: ${open.error}`, `npx longwatch ${kind} status ${name}`)]
          : [],
      ),
  },
  {
    id: 'job-failed-rows',
    reads: 'rows that a regen, sweep or decay could not advance',
    needs: ['status'],
    look: ({ status }) =>
      status.jobs
        .filter(({ failedRows }) => failedRows > 0)
        .map(({ name, kind, failedRows }) =>
          notice(
            `${kind} ${name} has ${plural(failedRows, 'row')} that failed`,
            `npx longwatch ${kind} failed ${name}`,
          ),
        ),
  },
  {
    id: 'compensations',
    reads: 'compensations of sagas that failed for good',
    needs: ['compensations'],
    look: ({ compensations }) =>
      compensations.length > 0
        ? [
            problem(
              `${plural(compensations.length, 'compensation')} could not be carried out`,
              'npx longwatch saga list',
            ),
          ]
        : [],
  },
  {
    id: 'replica',
    reads: 'how far the replica that answers `status` is behind',
    needs: ['status'],
    look: ({ status: { replica } }) =>
      replica && (replica.behindMs === null || replica.behindMs > REPLICA_BEHIND_MS)
        ? [
            notice(
              replica.behindMs === null
                ? 'the replica has not followed anything yet, so what is shown may be old'
                : `the replica is ${duration(replica.behindMs)} behind, so what is shown is as old`,
              'look at its replication, or unset READ_DATABASE_URL',
            ),
          ]
        : [],
  },
];

function anythingRuns({ trackers, buffers, jobs }: Status): boolean {
  return [...trackers, ...buffers, ...jobs].some(({ state }) => state === 'running');
}

const running = ({ trackers }: Status): TrackerSummary[] => trackers.filter(({ state }) => state === 'running');

function operationsOf(status: Status) {
  return running(status).flatMap((tracker) =>
    tracker.operations.filter(({ enabled }) => enabled).map((operation) => ({ tracker, operation })),
  );
}
