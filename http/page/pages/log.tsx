/** The log: every command of an operator, the newest first, by whatever way it came. */
import type { AuditRow } from '../../../client/audit';
import { changeText } from '../../../client/audit-change';
import { get } from '../lib/api';
import { shown, time } from '../lib/format';
import { ask, type Route } from '../lib/route';
import { usePages } from '../lib/pages';
import { useTitle } from '../lib/use';
import { Listed } from '../parts/listed';
import { Section } from '../parts/section';
import type { Column } from '../parts/table';
import { Data, Empty, State } from '../parts/text';

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
  const list = usePages<AuditRow>(
    `audit ${subject}`,
    (wanted, signal) => get('audit', { subject: subject || undefined, ...wanted }, signal),
    { first: 500, everyMs: 3_000 },
  );
  return (
    <>
      <header class="head">
        <h1>Log</h1>
      </header>
      <Section
        title="Commands"
        beside={
          <input
            type="search"
            placeholder="tracker/NAME, node, …"
            aria-label="Only to this subject"
            value={subject}
            onInput={(event) => ask({ subject: event.currentTarget.value })}
          />
        }
      >
        <Listed
          list={list}
          caption="Commands"
          columns={COLUMNS}
          keyOf={({ number }) => number}
          empty={
            <Empty>
              {subject
                ? 'Nothing was done to it.'
                : 'No operator has done anything yet. Every command leaves a row here, by whatever way it comes.'}
            </Empty>
          }
        />
      </Section>
    </>
  );
}
