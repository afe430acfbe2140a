/**
 * `doctor`: each check is true once, each says that it does not know once, and a deployment that is well has nothing.
 */
import { CHECKS } from '../../client/doctor/checks';
import { diagnose } from '../../client/doctor/doctor';
import type { Fact, Facts } from '../../client/doctor/facts';
import type { FullPool, MemberTroubles } from '../../client/doctor/member-facts';
import type { BufferSummary } from '../../client/buffer/status';
import type { ClusterReport, NodeReport } from '../../client/cluster/nodes';
import { FIGURES } from '../support/node-rows';
import type { JobSummary } from '../../client/job/status';
import type { OperationSummary, Status, TrackerSummary } from '../../client/status';

const known = <T>(value: T): Fact<T> => ({ known: true, value });
const like = (pattern: RegExp): string => expect.stringMatching(pattern) as string;
const unknown = (why: string): Fact<never> => ({ known: false, why });

const operation = (more: Partial<OperationSummary> = {}): OperationSummary => ({
  ...{ name: 'location', everyMs: 1_000, enabled: true, fetched: 5_000, failed: 3, skipped: 0, stale: 0 },
  ...{ staleExact: true, lastRoundMs: 20, lateP50Ms: 2, lateP99Ms: 9 },
  ...more,
});
const tracker = (more: Partial<TrackerSummary> = {}): TrackerSummary => ({
  ...{ name: 'characters', state: 'running', members: 500, pools: 4, poolsOnShift: 4, quarantined: 0, paused: false },
  ...{ gate: 'open', unbegun: 0, operations: [operation()], holds: [], heldBack: [] },
  ...more,
});
const buffer = (more: Partial<BufferSummary> = {}): BufferSummary => ({
  ...{ name: 'changes', state: 'running', accepted: 10, done: 8, pending: 2, running: 0, dead: 0, merged: 0 },
  ...{ dropped: 0, balanced: true, inMemory: 2, stored: 0, putOff: 0, batches: 4, spilling: false, shrunk: 0 },
  ...{ lastError: null, ageMs: 400, shards: [] },
  ...more,
});
const job = (more: Partial<JobSummary> = {}): JobSummary => ({
  ...{ name: 'stamina', kind: 'regen', state: 'running', schedule: {} as JobSummary['schedule'], open: null },
  ...{ last: null, failedRows: 0, claimed: 0 },
  ...more,
});
const status = (more: Partial<Status> = {}): Status => ({
  ...{ trackers: [tracker()], jobs: [job()], buffers: [buffer()], nodes: [] },
  ...more,
});
const node = (more: Partial<NodeReport> = {}): NodeReport => ({
  ...{ name: 'a', host: 'h', pid: 1, version: '0.1.0', labels: [], address: null, metricsUrl: null, startedAt: '' },
  ...{ seenAt: '', alive: true, ended: false, drained: false, drainedAt: null, drainedUntil: null, drainedFor: [] },
  ...{
    target: null,
    weight: 1,
    pools: 4,
    members: 500,
    load: 540,
    share: 540,
    poollessSince: null,
    keeps: ['characters'],
  },
  ...{ use: FIGURES, verdict: { level: 'good', word: 'good', text: 'it has its share and keeps up' } },
  ...more,
});
const cluster = (nodes: NodeReport[]): ClusterReport => ({ nodes, heartbeats: [], wantedNodes: 1 });
const unkept = (pool: number, forMs: number | null, queue: string | null = null) => ({
  ...{ tracker: 'characters', pool, node: 'a', forMs, queue },
});
const members = (more: Partial<MemberTroubles>): MemberTroubles => ({ full: [], suspects: [], dead: [], ...more });
const full = (more: Partial<FullPool>): FullPool => ({
  ...{
    tracker: 'rooms',
    pool: 3,
    entries: 50_000,
    bytes: 6.5 * 2 ** 20,
    forHandlers: false,
    countedMs: 900,
    node: 'a',
    handled: true,
  },
  ...{ looked: 1_000, failed: 20, error: 'Error: no' },
  ...more,
});
const facts = (more: Partial<Facts> = {}): Facts => ({
  ...{ status: known(status()), quarantined: known([]), silent: known([]), compensations: known([]) },
  ...{ unkept: known([]), cluster: known(cluster([])), drains: known([]), labels: known([]) },
  members: known(members({})),
  ...{ namespace: known(null), encoding: known(null), polled: known(true) },
  ...more,
});

const open = { due: '', elapsed: 1, rows: 0, share: 0, node: null, error: 'division by zero' };
const broken = { task: 't/1' } as never;

/** Facts that make each check true once, and the sentence that it then says. */
const CASES: [check: string, facts: Facts, what: RegExp][] = [
  ['namespace', facts({ namespace: known('it is of another database') }), /^it is of another database$/],
  ['encoding', facts({ encoding: known('the workers have a codec') }), /^the workers have a codec$/],
  ['no-worker', facts({ polled: known(false) }), /^no worker has asked for work in the last minute$/],
  [
    'silent-node',
    facts({ silent: known([{ name: 'a', host: 'h', silentMs: 65_000, pools: 3 }]) }),
    /^node a on h has not been heard of for 1 min and did not say that it ends; 3 pools still/,
  ],
  [
    'pools-unkept',
    facts({ unkept: known([unkept(0, 20_000), unkept(1, 90_000), unkept(2, 8_000)]) }),
    /^3 pools of characters are kept by no node, one of them for 2 min$/,
  ],
  [
    'pools-unkept',
    facts({ unkept: known([unkept(0, null)]) }),
    /^1 pool of characters is kept by no node, and none has kept them yet; nodes are about to take them$/,
  ],
  ['pools-unkept', facts({ unkept: known([unkept(0, 9_000)]) }), /for 9 s; nodes are about to take them$/],
  [
    'pools-unkept',
    facts({ unkept: known([unkept(0, 70_000, 'longwatch-shifts-on-gpu')]) }),
    /one of them for 1 min; no node has begun what waits on longwatch-shifts-on-gpu$/,
  ],
  [
    'node-verdict',
    facts({
      cluster: known(cluster([node({ verdict: { level: 'bad', word: 'cut off', text: 'it has reached neither' } })])),
    }),
    /^node a: it has reached neither$/,
  ],
  [
    'node-verdict',
    facts({ cluster: known(cluster([node({ verdict: { level: 'warning', word: 'behind', text: 'it is late' } })])) }),
    /^node a: it is late$/,
  ],
  [
    'label-unpolled',
    facts({
      labels: known([{ label: 'gpu', trackers: ['faces', 'scans'], polled: false }]),
      cluster: known(cluster([node()])),
    }),
    /^no node has the label gpu, which faces, scans needs/,
  ],
  [
    'label-unpolled',
    facts({
      labels: known([{ label: 'gpu', trackers: ['faces'], polled: false }]),
      cluster: known(cluster([node({ labels: ['gpu'] })])),
    }),
    /^no node has asked for pools of the label gpu \(faces\) in the last minute: those that have it are drained or full$/,
  ],
  [
    'drain-forgotten',
    facts({ drains: known([{ node: 'a', whole: true, trackers: [], forMs: 3 * 3_600_000 }]) }),
    /^node a is drained, since 3 h, and nothing says until when$/,
  ],
  [
    'drain-forgotten',
    facts({ drains: known([{ node: 'a', whole: false, trackers: ['things'], forMs: null }]) }),
    /^node a is drained for things, and nothing says until when$/,
  ],
  [
    'two-releases',
    facts({
      cluster: known(cluster([node(), node({ name: 'b', version: '0.2.0' }), node({ name: 'c', version: '0.2.0' })])),
    }),
    /^nodes of 2 releases work side by side: 1 node of 0\.1\.0, 2 nodes of 0\.2\.0$/,
  ],
  [
    'tracker-undefined',
    facts({ cluster: known(cluster([node({ use: { ...FIGURES, lacks: ['characters'] } })])) }),
    /^no node that lives has tracker characters in its config/,
  ],
  [
    'quarantined',
    facts({ quarantined: known([{ tracker: 'characters', pool: 2, lastError: 'boom' }]) }),
    /^pool 2 of characters is in quarantine: boom$/,
  ],
  [
    'gate',
    facts({ status: known(status({ trackers: [tracker({ gate: 'closed' })] })) }),
    /^the gate of characters is closed/,
  ],
  [
    'gate',
    facts({ status: known(status({ trackers: [tracker({ gate: 'unknown' })] })) }),
    /no answer that is new enough/,
  ],
  [
    'long-hold',
    facts({
      status: known(
        status({
          trackers: [
            tracker({
              holds: [
                {
                  tracker: 'characters',
                  operation: 'location',
                  heldUntil: '',
                  leftMs: 3_600_000,
                  toldAt: '',
                  node: 'a',
                  reason: '429',
                },
              ],
            }),
          ],
        }),
      ),
    }),
    /^characters\.location is held for another 1 h: 429$/,
  ],
  [
    'stale',
    facts({ status: known(status({ trackers: [tracker({ operations: [operation({ stale: 7 })] })] })) }),
    /^7 of 500 values/,
  ],
  [
    'stale',
    facts({
      status: known(status({ trackers: [tracker({ members: 100_000, operations: [operation({ stale: 1_214 })] })] })),
    }),
    /^1,214 of 100,000 values/,
  ],
  [
    'late',
    facts({ status: known(status({ trackers: [tracker({ operations: [operation({ lateP99Ms: Infinity })] })] })) }),
    /began more than a minute and a half late/,
  ],
  [
    'failing',
    facts({ status: known(status({ trackers: [tracker({ operations: [operation({ fetched: 10, failed: 90 })] })] })) }),
    /^most runs of characters\.location have failed \(90 of 100\)$/,
  ],
  ['paused', facts({ status: known(status({ buffers: [buffer({ state: 'paused' })] })) }), /^changes is paused$/],
  ['buffer-counts', facts({ status: known(status({ buffers: [buffer({ balanced: false })] })) }), /do not add up/],
  [
    'buffer-silent',
    facts({ status: known(status({ buffers: [buffer({ ageMs: 90_000 })] })) }),
    /^buffer changes has entries to handle \(2\)/,
  ],
  ['buffer-errors', facts({ status: known(status({ buffers: [buffer({ lastError: 'no' })] })) }), /that failed: no$/],
  [
    'dead-letters',
    facts({ status: known(status({ buffers: [buffer({ dead: 4 })] })) }),
    /^buffer changes has 4 dead letters$/,
  ],
  [
    'mail-full',
    facts({ members: known(members({ full: [full({}), full({ pool: 4 })] })) }),
    /^2 pools of rooms are full of mail, so senders wait: pool 3 has 50,000 messages \(6.5 MB\)$/,
  ],
  [
    'mail-full',
    facts({ members: known(members({ full: [full({ forHandlers: true, failed: 800 })] })) }),
    /^1 pool of rooms is full of mail, so senders wait, and handlers fail: pool 3 .*; of 1,000 that were looked at 800 have failed .*: Error: no$/,
  ],
  [
    'mail-full',
    facts({ members: known(members({ full: [full({ node: null, countedMs: 7_200_000, looked: 0, failed: 0 })] })) }),
    /\(6.5 MB\), as counted 2 h ago, and no node keeps it$/,
  ],
  [
    'mail-full',
    facts({ members: known(members({ full: [full({ handled: false, looked: 0, failed: 0 })] })) }),
    /and the node a has no code for them$/,
  ],
  [
    'member-suspects',
    facts({
      members: known(members({ suspects: [{ tracker: 'rooms', messages: 2, key: 'rooms/lobby/4711', strikes: 2 }] })),
    }),
    /^2 messages, timers or values of rooms may end the process that handles them: 2 processes have ended with rooms\/lobby\/4711 at work$/,
  ],
  [
    'member-dead-letters',
    facts({ members: known(members({ dead: [{ tracker: 'rooms', letters: 1_001 }] })) }),
    /^members of rooms have more than 1,000 dead letters$/,
  ],
  [
    'member-dead-letters',
    facts({ members: known(members({ dead: [{ tracker: 'rooms', letters: 1 }] })) }),
    /^members of rooms have 1 dead letter$/,
  ],
  [
    'job-stuck',
    facts({ status: known(status({ jobs: [job({ open })] })) }),
    /^the tick of regen stamina cannot go on: division/,
  ],
  [
    'job-failed-rows',
    facts({ status: known(status({ jobs: [job({ failedRows: 2 })] })) }),
    /^regen stamina has 2 rows that failed$/,
  ],
  ['compensations', facts({ compensations: known([broken]) }), /^1 compensation could not be carried out$/],
  [
    'replica',
    facts({ status: known(status({ replica: { behindMs: null } })) }),
    /^the replica has not followed anything/,
  ],
];

test('a deployment that is well has no finding, and every check was made', () => {
  expect(diagnose(facts())).toEqual({ findings: [], unknown: [], checked: CHECKS.length });
});

test.each(CASES)('%s is found, alone, and says what to do', (check, given, what) => {
  const { findings, unknown: notKnown } = diagnose(given);
  expect(notKnown).toEqual([]);
  expect(findings).toEqual([
    {
      check,
      severity: like(/^(problem|notice)$/),
      what: like(what),
      next: like(/.{10}/),
    },
  ]);
});

test('every check has a case here', () => {
  expect([...new Set(CASES.map(([check]) => check))].sort()).toEqual(CHECKS.map(({ id }) => id).sort());
});

test.each(Object.keys(facts()) as (keyof Facts)[])(
  'without %s, what needs it is not known, and is not well',
  (part) => {
    const { unknown: notKnown, checked } = diagnose(facts({ [part]: unknown('it is away') }));
    const needing = CHECKS.filter(({ needs }) => needs.includes(part)).map(({ id }) => id);
    expect(needing).not.toEqual([]);
    expect(notKnown.map(({ check, why }) => [check, why])).toEqual(needing.map((id) => [id, 'it is away']));
    expect(checked).toBe(CHECKS.length - needing.length);
  },
);

test('a check that cannot judge a row is not known; all others are made', () => {
  const wrong = { id: 'wrong', reads: 'rows', needs: [], look: (): never => { throw new TypeError('no such field'); } }; // prettier-ignore
  const { findings, unknown: notKnown, checked } = diagnose(facts({ polled: known(false) }), [wrong, ...CHECKS]);
  expect(findings.map(({ check }) => check)).toEqual(['no-worker']);
  expect(notKnown).toEqual([{ check: 'wrong', reads: 'rows', why: like(/^it cannot be judged: .*no such field/) }]);
  expect(checked).toBe(CHECKS.length);
});

test('problems stand before notices', () => {
  const trackers = [tracker({ gate: 'closed' })];
  const { findings } = diagnose(
    facts({ status: known(status({ trackers, buffers: [buffer({ state: 'paused' })] })), polled: known(false) }),
  );
  expect(findings.map(({ severity }) => severity)).toEqual(['problem', 'problem', 'notice']);
});
