/** A buffer's dead letters: found by their error, chosen one by one or by the filter, looked at, retried, dropped. */
import type { DeadDetails, DeadEntry } from '../../../client/buffer/dead';
import type { DeadReport } from '../../../client/buffer/dead-groups';
import type { BufferSummary } from '../../../client/buffer/status';
import { deadAction, type Filter } from '../actions/buffer';
import { at, get } from '../lib/api';
import { count, json, plural, time } from '../lib/format';
import { ask, href, type Route } from '../lib/route';
import { usePages } from '../lib/pages';
import { useAsked } from '../lib/use';
import { Bulk, useChosen } from '../parts/chosen';
import { deathColumns } from '../parts/deaths';
import { ActButton } from '../parts/dialog';
import { Listed } from '../parts/listed';
import { Section } from '../parts/section';
import { Table, type Column } from '../parts/table';
import { Ago, Data, Empty, State, Trouble } from '../parts/text';

interface Props {
  buffer: BufferSummary;
  route: Route;
  letter: string | undefined;
}

export function DeadLetters({ buffer, route, letter }: Props) {
  if (letter !== undefined) return <Letter buffer={buffer.name} id={letter} />;
  return (
    <>
      <Groups buffer={buffer.name} />
      <List buffer={buffer} error={route.query.get('error') ?? ''} />
    </>
  );
}

type Group = DeadReport['groups'][number];

const GROUPS = (buffer: string): Column<Group>[] => [
  { head: 'letters', figure: true, cell: ({ letters }) => count(letters) },
  { head: 'error', names: true, text: true, cell: ({ text }) => <Data text={text} most={200} /> },
  { head: 'last died', figure: true, cell: ({ lastDiedAt }) => <Ago at={lastDiedAt} /> },
  {
    head: 'for example',
    wide: true,
    cell: ({ example }) => <a href={href('buffers', buffer, 'dead', example.id)}>{example.id}</a>,
  },
  {
    head: 'actions',
    mute: true,
    cell: ({ text }) => (
      <span class="acts">
        <ActButton action={deadAction(buffer, 'retry', { group: text })} quiet />
        <ActButton action={deadAction(buffer, 'drop', { group: text })} quiet />
      </span>
    ),
  },
];

/** The causes: each is mended once, and all of its letters go back at once. */
function Groups({ buffer }: { buffer: string }) {
  const path = at('buffers', buffer, 'dead', 'errors');
  const { data, problem, again } = useAsked(path, (signal) => get<DeadReport>(path, {}, signal), 10_000);
  return (
    <Section title="Errors" count={data?.groups.length} counted={data?.groups.length === 1 ? 'kind' : 'kinds'}>
      {problem && <Trouble words={problem.message} again={again} />}
      {data && data.groups.length === 0 && <p class="quiet">No entry has died.</p>}
      {data && data.groups.length > 0 && (
        <Table caption="Dead letters by error" columns={GROUPS(buffer)} rows={data.groups} keyOf={({ text }) => text} />
      )}
      {data && !data.complete && <p class="quiet">These are of the newest {count(data.looked)}.</p>}
    </Section>
  );
}

function List({ buffer: { name, dead }, error }: { buffer: BufferSummary; error: string }) {
  const path = at('buffers', name, 'dead');
  const list = usePages<DeadEntry>(
    `${path} ${error}`,
    (wanted, signal) => get(path, { error: error || undefined, ...wanted }, signal),
    { first: 200, everyMs: 3_000 },
  );
  const of = useAsked(
    error === '' ? undefined : `${path} count ${error}`,
    (signal) => get<{ count: number }>(`${path}/count`, { error }, signal),
    10_000,
  ).data?.count;
  const mayChoose = ({ state }: DeadEntry): boolean => state === 'dead';
  const chosen = useChosen(list.items, mayChoose);
  const filter: Filter = chosen.ids.length > 0 ? { ids: chosen.ids } : error ? { error } : {};
  return (
    <Section
      title="Dead letters"
      count={dead}
      beside={
        <input
          type="search"
          placeholder="error contains…"
          aria-label="Only where the error contains"
          value={error}
          onInput={(event) => ask({ error: event.currentTarget.value })}
        />
      }
    >
      {list.items.length > 0 && (
        <Bulk
          chosen={chosen}
          shown={list.items.filter(mayChoose).map(({ id }) => id)}
          whole={error ? `all ${of === undefined ? '' : count(of)} of this error` : 'all of them'}
          actions={[deadAction(name, 'retry', filter), deadAction(name, 'drop', filter)]}
        />
      )}
      <Listed
        list={list}
        caption="Dead letters"
        columns={[chosen.column, ...columnsOf(name)]}
        keyOf={({ id }) => id}
        of={error ? of : dead}
        empty={
          <Empty>
            {error ? 'No dead letter has such an error.' : 'There is none: no entry has used all of its attempts.'}
          </Empty>
        }
      />
    </Section>
  );
}

function columnsOf(buffer: string): Column<DeadEntry>[] {
  return [
    {
      head: 'id',
      names: true,
      cell: ({ id }) => <a href={href('buffers', buffer, 'dead', id)}>{id}</a>,
    },
    {
      head: 'state',
      wide: true,
      cell: ({ state }) => <State is={state === 'dead' ? 'failed' : 'idle'} word={state} />,
    },
    ...deathColumns('entry'),
  ];
}

function Letter({ buffer, id }: { buffer: string; id: string }) {
  const path = at('buffers', buffer, 'dead', id);
  const { data, problem, again } = useAsked(path, (signal) => get<DeadDetails>(path, {}, signal), 3_000);
  return (
    <Section title={`Dead letter ${id}`} beside={<a href={href('buffers', buffer, 'dead')}>all dead letters</a>}>
      {problem && <Trouble words={problem.message} again={again} />}
      {data && (
        <>
          <p class="facts">
            <State is={data.state === 'dead' ? 'failed' : 'idle'} word={data.state} />
            <span>{plural(data.attempts, 'attempt')}</span>
            <span>
              died <Ago at={data.diedAt} />
            </span>
            {data.key !== null && (
              <span>
                key <Data text={data.key} mono />
              </span>
            )}
          </p>
          {data.state === 'dropped' && (
            <p class="bulk">
              <ActButton action={deadAction(buffer, 'restore', { ids: [id] })} />
            </p>
          )}
          {data.state === 'dead' && (
            <p class="bulk">
              <ActButton action={deadAction(buffer, 'retry', { ids: [id] })} />{' '}
              <ActButton action={deadAction(buffer, 'drop', { ids: [id] })} />
            </p>
          )}
          <h3>Entry</h3>
          <pre class="json" tabIndex={0} role="group" aria-label="Entry">
            {json(data.value)}
          </pre>
          <h3>History</h3>
          <ul class="lines">
            {data.errors.map(({ at: when, error }, i) => (
              <li key={i}>
                <span class="quiet">{time(when)}</span> <Data text={error} most={600} />
              </li>
            ))}
            {data.op !== null && (
              <li>
                <span class="quiet">{time(data.changedAt)}</span> {data.state}
                {data.note && (
                  <>
                    : <Data text={data.note} most={300} />
                  </>
                )}
              </li>
            )}
          </ul>
        </>
      )}
    </Section>
  );
}
