/** The log: every command of an operator, the newest first, by whatever way it came. */
import type { AuditRow } from '../../../client/audit';
import { changeText } from '../../../client/audit-change';
import { get } from '../lib/api';
import { shown, time } from '../lib/format';
import { ask, type Route } from '../lib/route';
import { useAsked, useTitle } from '../lib/use';
import { Section } from '../parts/section';
import { Table, type Column } from '../parts/table';
import { Data, Empty, State, Trouble } from '../parts/text';

const LIMIT = 500;

const COLUMNS: Column<AuditRow>[] = [
  { head: 'at', cell: ({ at }) => time(at) },
  { head: 'who', cell: ({ actor }) => <Data text={actor} most={40} /> },
  { head: 'by', wide: true, cell: ({ via }) => via },
  { head: 'what', names: true, cell: ({ what }) => what },
  { head: 'to', cell: ({ subject }) => <Data text={subject} most={60} /> },
  { head: 'change', text: true, cell: ({ before, after }) => <Data text={changeText(before, after)} most={160} /> },
  { head: 'outcome', cell: ({ outcome, error }) => <Outcome outcome={outcome} error={error} /> },
  { head: 'why', text: true, wide: true, cell: ({ why }) => (why === undefined ? '' : <Data text={why} most={160} />) },
];

function Outcome({ outcome, error }: Pick<AuditRow, 'outcome' | 'error'>) {
  return (
    <span title={error === undefined ? undefined : shown(error, 500)}>
      <State is={outcome ?? 'idle'} word={outcome ?? 'not noted'} />
    </span>
  );
}

export function LogPage({ route }: { route: Route }) {
  useTitle('Log');
  const subject = route.query.get('subject') ?? '';
  const { data, problem, again } = useAsked(
    `audit ${subject}`,
    (signal) => get<{ items: AuditRow[] }>('audit', { subject: subject || undefined, limit: LIMIT }, signal),
    3_000,
  );
  return (
    <>
      <header class="head">
        <h1>Log</h1>
      </header>
      <Section
        title="Commands"
        count={data?.items.length}
        counted={data?.items.length === LIMIT ? 'or more' : undefined}
        beside={
          <input
            type="search"
            placeholder="tracker/characters, node, …"
            aria-label="Only to this subject"
            value={subject}
            onInput={(event) => ask({ subject: event.currentTarget.value })}
          />
        }
      >
        {problem && <Trouble words={problem.message} again={again} />}
        {data && data.items.length === 0 && (
          <Empty>
            {subject
              ? 'Nothing was done to it.'
              : 'No operator has done anything yet. Every command leaves a row here, by whatever way it comes.'}
          </Empty>
        )}
        {data && data.items.length > 0 && (
          <Table caption="Commands" columns={COLUMNS} rows={data.items} keyOf={({ number }) => number} />
        )}
      </Section>
    </>
  );
}
