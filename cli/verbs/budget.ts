/** `longwatch budget list|show|close|open|set`: what the limits of upstreams have left, and steering them by hand. */
import type { Command } from 'commander';
import type { MemberBucketCount } from '../../activities/upstream/store/purse';
import type { BucketSummary } from '../../client/budget';
import type { Longwatch } from '../../client/longwatch';
import type { MemberBucket } from '../../client/member-buckets';
import { UsageError } from '../errors';
import { age, count, plural, print, printJson, table } from '../output';
import { inline } from '../plain';
import {
  atLeastOne,
  operatorVerb,
  positiveTimeSpan,
  verb,
  withLongwatch,
  type CommonFlags,
  type OperatorFlags,
} from '../verb';

interface ListFlags extends CommonFlags {
  limit?: string;
  key?: string;
  member?: string;
  after?: string;
  most: number;
}

export function addBudget(program: Command): void {
  const budget = program.command('budget').description('limits of upstreams: what is left, who spends, what is closed');
  verb(budget, 'list [upstream]', 'buckets that nodes spend from: a limit for one key each', [
    'longwatch budget list',
    'longwatch budget list esi --limit errors',
    'longwatch budget list esi --json',
    'longwatch budget list esi --member 90000001',
  ])
    .option('--limit <name>', 'only this limit')
    .option('--key <key>', 'only this key')
    .option('--member <id>', 'the buckets that are this member’s own, instead')
    .option('--after <bucket>', 'go on after this one')
    .option('--most <n>', 'so many of them', atLeastOne, 100)
    .action((upstream: string | undefined, flags: ListFlags) => list(upstream, flags));
  verb(budget, 'show <bucket>', 'one bucket, and what each node has of it', [
    'longwatch budget show esi/group:90000001',
  ]).action((bucket: string, flags: CommonFlags) => show(bucket, flags));
  operatorVerb(budget, 'close <bucket>', 'no node sends for it for a while; without a key: for all keys of the limit', [
    'longwatch budget close esi/group:90000001 --for 5m',
    'longwatch budget close esi/errors --for 10m --why "ESI asked us to"',
  ])
    .requiredOption('--for <time>', 'how long: 30s, 5m')
    .action((bucket: string, flags: OperatorFlags & { for: string }) => close(bucket, flags));
  operatorVerb(budget, 'open <bucket>', 'it may be spent from again, whatever closed it', [
    'longwatch budget open esi/group:90000001',
    'longwatch budget open esi/errors',
  ]).action((bucket: string, flags: OperatorFlags) => open(bucket, flags));
  operatorVerb(budget, 'set <upstream> <changes...>', 'options of its limits, on all nodes within two seconds', [
    'longwatch budget set esi limits.errors.tokens=50',
    'longwatch budget set esi limits.errors.tokens=   # as in the config again',
  ]).action((upstream: string, changes: string[], flags: OperatorFlags) => set(upstream, changes, flags));
}

async function list(upstream: string | undefined, flags: ListFlags): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    const { limit, key, after, most, member } = flags;
    if (member !== undefined) return listOfMember(await longwatch.budget.ofMember(member, upstream), flags);
    const buckets = await longwatch.budget.list({ upstream, limit, key, after, most });
    const nothing = buckets.length === 0;
    // Refused where there is no such upstream.
    if (nothing && upstream !== undefined) await longwatch.upstream(upstream).config();
    const isAsked = (one: { limit: string }): boolean => (limit ?? one.limit) === one.limit;
    const closed = (await longwatch.budget.closedLimits(upstream)).filter(isAsked);
    // Once: they are counted.
    const own = after === undefined ? (await longwatch.budget.memberCounts(upstream)).filter(isAsked) : [];
    if (flags.json) return printJson([...closed, ...own.map(countOf), ...buckets]);
    for (const { bucket, closedMs, closedReason } of closed)
      await print(`${bucket}, all keys: closed for ${age(closedMs)}: ${closedReason ?? 'closed by hand'}`);
    if (nothing) await print(await whyEmpty(longwatch, own.length > 0));
    else await printBuckets(buckets, most);
    for (const { upstream: of, limit: name, buckets: members } of own)
      await print(`${of}/${name}: ${count(members)} are single members' own; one member's: --member ID`);
  });
}

/** As the others of the list are named: a limit, and how many members have buckets of their own. */
const countOf = ({ upstream, limit, buckets }: MemberBucketCount): Record<string, string | number> => ({
  bucket: `${upstream}/${limit}`,
  upstream,
  limit,
  memberBuckets: buckets,
});

async function whyEmpty(longwatch: Longwatch, hasOwn: boolean): Promise<string> {
  const names = await longwatch.upstreams();
  const known = names.length > 0 ? `; upstreams with limits: ${names.join(', ')}` : '';
  return `nobody has spent from a ${hasOwn ? 'shared ' : ''}bucket lately${known}`;
}

async function printBuckets(buckets: readonly BucketSummary[], most: number): Promise<void> {
  const heads = ['bucket', 'left', 'of', 'window', 'spent', 'held', 'nodes', 'state'];
  const columns = heads.map((head) => ({ head, right: !['bucket', 'state'].includes(head) }));
  await print(table(columns, buckets.map(rowOf)));
  if (buckets.length === most) await print(`there may be more: --after ${inline(buckets.at(-1)!.bucket)}`);
}

async function listOfMember(buckets: readonly MemberBucket[], { json, limit, member }: ListFlags): Promise<void> {
  const found = buckets.filter((one) => (limit ?? one.limit) === one.limit);
  if (json) return printJson(found);
  if (found.length === 0) return print(`no bucket is ${inline(member!)}'s own; shared ones: longwatch budget list`);
  const heads = ['bucket', 'tracker', 'left', 'of', 'window', 'spent', 'state'];
  const columns = heads.map((head) => ({ head, right: !['bucket', 'tracker', 'state'].includes(head) }));
  const rows = found.map(({ bucket, tracker, remaining, tokens, windowMs, spent, closedMs }) => [
    bucket,
    tracker,
    remaining === null ? null : whole(remaining),
    tokens === null ? null : whole(tokens),
    age(windowMs),
    whole(spent),
    closedMs > 0 ? `closed for ${age(closedMs)}` : 'open',
  ]);
  await print(table(columns, rows));
}

function rowOf(one: BucketSummary): (string | number | null)[] {
  const { bucket, remaining, tokens, windowMs, spent, held, nodes } = one;
  return [
    // Whole, as `show`, `close` and `open` take it.
    bucket,
    remaining === null ? null : whole(remaining),
    tokens === null ? null : whole(tokens),
    windowMs === null || windowMs === 0 ? null : age(windowMs),
    whole(spent),
    whole(held),
    nodes.length,
    stateOf(one),
  ];
}

const whole = (tokens: number): string => count(Math.floor(tokens));

function stateOf({ closedMs, closedReason, tokens, remaining, nodes }: BucketSummary): string {
  if (closedMs > 0) return `closed for ${age(closedMs)}: ${closedReason ?? 'the upstream said so'}`;
  if (tokens === null) return 'not known yet: one request at a time';
  if (remaining !== null && remaining < 1 && nodes.some(({ wants }) => wants > 0)) return 'empty';
  return 'open';
}

async function show(bucket: string, flags: CommonFlags): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    const found = await longwatch.budget.show(bucket);
    if (flags.json) return printJson(found);
    const { tokens, windowMs, remaining, spent, held, shape, othersPerSecond, nodes, at } = found;
    const window = windowMs === null || windowMs === 0 ? '' : ` in ${age(windowMs)}`;
    const left = remaining === null ? 'not known yet' : whole(remaining);
    await print(`${found.bucket}: ${stateOf(found)}`);
    await print(`  ${shape}, ${tokens === null ? 'tokens not known yet' : `${whole(tokens)} tokens${window}`}`);
    await print(`  left ${left}, spent ${whole(spent)}, in the hands of nodes ${whole(held)}; as of ${at}`);
    if (othersPerSecond > 0) await print(`  others spend ${othersPerSecond.toFixed(2)} tokens a second of it`);
    if (nodes.length === 0) return;
    const columns = [{ head: 'node' }, { head: 'wants/s', right: true }, { head: 'has', right: true }];
    await print(
      table(
        columns,
        nodes.map(({ node, wants, has }) => [node, wants.toFixed(2), whole(has)]),
      ),
    );
  });
}

async function close(bucket: string, flags: OperatorFlags & { for: string }): Promise<void> {
  const ms = positiveTimeSpan(flags.for, '--for');
  await withLongwatch(flags, async (longwatch) => {
    const closed = await longwatch.budget.close(bucket, ms, { why: flags.why });
    if (flags.json) return printJson(closed);
    await print(
      `closed for ${age(ms)}: ${some(bucket, closed)}; open again with: npx longwatch budget open ${inline(bucket)}`,
    );
  });
}

async function open(bucket: string, flags: OperatorFlags): Promise<void> {
  await withLongwatch(flags, async (longwatch) => {
    const opened = await longwatch.budget.open(bucket, { why: flags.why });
    if (flags.json) return printJson(opened);
    await print(`open: ${some(bucket, opened)}`);
  });
}

/** One bucket, or a limit with all of its keys. */
const some = (bucket: string, buckets: readonly BucketSummary[]): string =>
  bucket.includes(':') ? inline(bucket) : `all keys of ${inline(bucket)}, ${plural(buckets.length, 'bucket')} by now`;

async function set(upstream: string, given: readonly string[], flags: OperatorFlags): Promise<void> {
  const changes: Record<string, string | null> = {};
  for (const change of given) {
    const at = change.indexOf('=');
    if (at < 1) throw new UsageError(`'${change}' is not PATH=VALUE, such as limits.errors.tokens=50`);
    changes[change.slice(0, at)] = change.slice(at + 1) || null;
  }
  await withLongwatch(flags, async (longwatch) => {
    const result = await longwatch.upstream(upstream).set(changes, { why: flags.why });
    if (flags.json) return printJson(result);
    await print(
      result.changed ? `${upstream}: changed; every node follows within two seconds` : `${upstream}: it was so`,
    );
  });
}
