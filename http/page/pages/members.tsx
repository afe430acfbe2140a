/** A tracker's members: by the beginning of their ids, those that fail, and what their errors say. */
import type { ErrorReport, FailingMember, MemberSummary } from '../../../client/tracker/lists';
import { line } from '../actions/action';
import { at, get } from '../lib/api';
import { count, plural } from '../lib/format';
import { ask, href, type Route } from '../lib/route';
import type { TrackerSummary } from '../lib/state';
import { useAsked } from '../lib/use';
import { usePages } from '../lib/pages';
import { Listed } from '../parts/listed';
import { memberId } from '../parts/member-id';
import { Section } from '../parts/section';
import { Table, type Column } from '../parts/table';
import { Ago, Data, Empty, State, Trouble } from '../parts/text';
import { Oldest } from './freshness';

export function Members({ tracker, route }: { tracker: TrackerSummary; route: Route }) {
  const prefix = route.query.get('prefix') ?? '';
  // A reader who looks for an id sees it first; one who looks around sees first what is wrong.
  return (
    <>
      <p class="search">
        <input
          type="search"
          placeholder="ids that begin with…"
          aria-label="Ids that begin with"
          value={prefix}
          onInput={(event) => ask({ prefix: event.currentTarget.value })}
        />
      </p>
      {prefix !== '' && <ByPrefix tracker={tracker} prefix={prefix} />}
      <Errors tracker={tracker} />
      <Failing tracker={tracker} />
      <Oldest tracker={tracker} />
      {prefix === '' && <ByPrefix tracker={tracker} prefix="" />}
    </>
  );
}

const MEMBERS = (tracker: string): Column<MemberSummary>[] => [
  memberId(tracker),
  { head: 'pool', figure: true, cell: ({ pool }) => pool },
  { head: 'node', wide: true, cell: ({ node }) => (node === null ? '—' : <Data text={node} />) },
  { head: 'last run', figure: true, cell: ({ lastRunAt }) => <Ago at={lastRunAt} /> },
  { head: 'added', figure: true, wide: true, cell: ({ addedAt }) => <Ago at={addedAt} /> },
  {
    head: 'state',
    cell: ({ failing }) =>
      failing.length === 0 ? (
        <State is="ok" word="well" tone="quiet" />
      ) : (
        <State is="failed" word={`failing: ${failing.join(', ')}`} />
      ),
  },
];

function ByPrefix({ tracker: { name, members }, prefix }: { tracker: TrackerSummary; prefix: string }) {
  const list = usePages<MemberSummary>(
    `members ${name} ${prefix}`,
    (wanted, signal) => get(at('trackers', name, 'members'), { prefix: prefix || undefined, ...wanted }, signal),
    { first: 50 },
  );
  return (
    <Section title="Members" count={prefix === '' ? members : undefined}>
      <Listed
        list={list}
        caption="Members"
        columns={MEMBERS(name)}
        keyOf={({ id }) => id}
        of={prefix === '' ? members : undefined}
        empty={
          <Empty command={prefix ? undefined : line('add', [name, 'ID'])}>
            {prefix ? 'No id begins so.' : 'It has no member yet. Add ids here, by a program, or by:'}
          </Empty>
        }
      />
    </Section>
  );
}

const FAILING = (tracker: string): Column<FailingMember>[] => [
  memberId(tracker),
  { head: 'operation', cell: ({ operation }) => <Data text={operation} /> },
  { head: 'in a row', figure: true, cell: ({ failures }) => count(failures) },
  { head: 'error', text: true, cell: ({ error }) => <Data text={error} most={160} /> },
  { head: 'last', figure: true, cell: ({ failedAt }) => <Ago at={failedAt} /> },
  {
    head: 'last success',
    figure: true,
    wide: true,
    cell: ({ fetchedAt }) => (fetchedAt ? <Ago at={fetchedAt} /> : 'never'),
  },
];

function Failing({ tracker: { name } }: { tracker: TrackerSummary }) {
  const list = usePages<FailingMember>(
    `failing ${name}`,
    (wanted, signal) => get(at('trackers', name, 'failing'), { ...wanted }, signal),
    { first: 20 },
  );
  return (
    <Section title="Failing">
      <Listed
        list={list}
        caption="Failing members"
        columns={FAILING(name)}
        keyOf={({ id, operation }) => `${operation} ${id}`}
        empty={<p class="quiet">No member fails.</p>}
      />
    </Section>
  );
}

type Group = ErrorReport['groups'][number];

const GROUPS = (tracker: string): Column<Group>[] => [
  { head: 'members', figure: true, cell: ({ members }) => count(members) },
  { head: 'operation', cell: ({ operation }) => <Data text={operation} /> },
  { head: 'error', names: true, text: true, cell: ({ text }) => <Data text={text} most={200} /> },
  {
    head: 'for example',
    cell: ({ example }) => (
      <a href={href('trackers', tracker, 'members', example.id)}>
        <Data text={example.id} most={40} />
      </a>
    ),
  },
];

function Errors({ tracker: { name } }: { tracker: TrackerSummary }) {
  const path = at('trackers', name, 'errors');
  const { data, problem, again } = useAsked(path, (signal) => get<ErrorReport>(path, {}, signal), 10_000);
  return (
    <Section title="Errors" count={data?.groups.length} counted={data?.groups.length === 1 ? 'kind' : 'kinds'}>
      {problem && <Trouble words={problem.message} again={again} />}
      {data && data.groups.length === 0 && <p class="quiet">No error since the last success of each.</p>}
      {data && data.groups.length > 0 && (
        <Table
          caption="Errors, by what they say"
          columns={GROUPS(name)}
          rows={data.groups}
          keyOf={(group) => `${group.operation} ${group.text}`}
        />
      )}
      {data && !data.complete && (
        <p class="quiet">There are more: these are of {plural(data.looked, 'failure')} that were looked at.</p>
      )}
    </Section>
  );
}
