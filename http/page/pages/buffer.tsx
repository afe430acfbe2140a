/** One buffer: counts that add up, its lanes by shard, its history; dead letters and options under tabs. */
import type { BufferSummary } from '../../../client/buffer/status';
import { flushAction } from '../actions/buffer';
import { unitActions } from '../actions/units';
import { count, duration, json, rate, short } from '../lib/format';
import { rates, type Live } from '../lib/live';
import { useMe, workflowLink } from '../lib/me';
import type { Route } from '../lib/route';
import { useTitle } from '../lib/use';
import { workflowId } from '../lib/workflows';
import { Head, Missing, Tabs } from '../parts/head';
import { Section } from '../parts/section';
import { Settings } from '../parts/settings';
import { Table, type Column } from '../parts/table';
import { Data, State } from '../parts/text';
import { DeadLetters } from './dead';
import { History } from './history';
import { Buffers } from './overview-lists';

export function BufferList({ live }: { live: Live }) {
  useTitle('Buffers');
  return live.state ? <Buffers main buffers={live.state.status.buffers} /> : null;
}

export function BufferPage({ live, route }: { live: Live; route: Route }) {
  const [, name = '', part = '', letter] = route.path;
  useTitle(name);
  if (!live.state) return <p class="quiet">Asking the server…</p>;
  const buffer = live.state.status.buffers.find((each) => each.name === name);
  if (!buffer) return <Missing kind="buffer" name={name} list="buffers" />;
  const parts: [string, string][] = [
    ['', 'Counts'],
    ['dead', buffer.dead > 0 ? `Dead letters (${short(buffer.dead)})` : 'Dead letters'],
    ['options', 'Options'],
  ];
  return (
    <>
      <Head
        list={['buffers', 'Buffers']}
        name={name}
        state={buffer.state}
        facts={<Facts buffer={buffer} />}
        actions={[...unitActions('buffer', buffer), flushAction(name)]}
        workflow={workflowId.buffer(name)}
      />
      <Tabs path={['buffers', name]} parts={parts} is={part} />
      {part === '' && <Counts buffer={buffer} />}
      {part === 'dead' && <DeadLetters buffer={buffer} route={route} letter={letter} />}
      {part === 'options' && <Settings list="buffers" name={name} />}
    </>
  );
}

function Facts({ buffer: { name, spilling, shrunk, ageMs } }: { buffer: BufferSummary }) {
  return (
    <span class="facts">
      <span>{rate(rates.rate(`accepted ${name}`))} in</span>
      <span>{rate(rates.rate(`done ${name}`))} done</span>
      {spilling && <State is="notice" word="at its bound: what comes goes to PostgreSQL" />}
      {shrunk > 0 && <State is="notice" word={`${shrunk} shrunk for memory`} />}
      {ageMs > 5_000 && <span class="warn">as of {duration(ageMs)} ago</span>}
    </span>
  );
}

/** The law of the counts, as it stands. */
function Counts({ buffer }: { buffer: BufferSummary }) {
  const { accepted, balanced, lastError } = buffer;
  const parts = ['done', 'pending', 'running', 'dead', 'merged', 'dropped'] as const;
  return (
    <>
      <Section
        title="Counts"
        beside={balanced ? <State is="done" word="they add up" /> : <State is="problem" word="they do not add up" />}
      >
        <dl class="sum">
          <div>
            <dt>accepted</dt>
            <dd>{count(accepted)}</dd>
          </div>
          {parts.map((part, i) => (
            <div key={part} class={part === 'dead' && buffer.dead > 0 ? 'bad' : undefined}>
              <dt>
                <span aria-hidden="true">{i === 0 ? (balanced ? '=' : '≠') : '+'}</span> {part}
              </dt>
              <dd>{count(buffer[part])}</dd>
            </div>
          ))}
        </dl>
        <p class="quiet pending">
          Of the pending ones {count(buffer.inMemory)} are in memory, {count(buffer.stored)} in PostgreSQL,{' '}
          {count(buffer.putOff)} put off until later.
        </p>
        {lastError !== null && (
          <p class="trouble">
            <State is="failed" word="The last error: " />
            <Data text={lastError} most={400} />
          </p>
        )}
      </Section>
      <History kind="buffer" names={[buffer.name]} />
      <Shards buffer={buffer} />
    </>
  );
}

type Shard = BufferSummary['shards'][number];

function Shards({ buffer }: { buffer: BufferSummary }) {
  const me = useMe();
  const columns: Column<Shard>[] = [
    {
      head: 'shard',
      names: true,
      cell: ({ shard }) => {
        const link = workflowLink(me, workflowId.shard(buffer.name, shard));
        return link ? (
          <a href={link} target="_blank" rel="noreferrer" title="its workflow in Temporal">
            {shard}
          </a>
        ) : (
          shard
        );
      },
    },
    { head: 'state', cell: ({ state }) => <State is={state} /> },
    { head: 'in memory', figure: true, cell: ({ inMemory }) => short(inMemory) },
    { head: 'stored', figure: true, cell: ({ stored }) => short(stored) },
    { head: 'later', figure: true, cell: ({ putOff }) => short(putOff) },
    { head: 'running', figure: true, cell: ({ running }) => short(running) },
    { head: 'batches', figure: true, wide: true, cell: ({ batches }) => count(batches) },
    { head: 'done', figure: true, wide: true, cell: ({ done }) => short(done) },
    { head: 'dead', figure: true, cell: ({ dead }) => (dead > 0 ? <State is="problem" word={short(dead)} /> : '0') },
    {
      head: 'batch size',
      figure: true,
      wide: true,
      cell: ({ learnedSize }) => (learnedSize === null ? 'as set' : `learned ${learnedSize}`),
    },
    {
      head: 'its state',
      wide: true,
      cell: ({ userState }) => (userState === null ? '' : <Data text={json(userState)} most={40} mono />),
    },
  ];
  return (
    <Section title="Lanes by shard" count={buffer.shards.length}>
      {buffer.shards.length === 0 ? (
        <p class="quiet">No shard has reported yet.</p>
      ) : (
        <Table caption="Shards" columns={columns} rows={buffer.shards} keyOf={({ shard }) => String(shard)} />
      )}
    </Section>
  );
}
