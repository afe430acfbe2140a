/** Durable activities: sagas to mend first, then leases; a key is looked up by its activity and its text. */
import { useState } from 'preact/hooks';
import type { BrokenCompensation, KeyDetails, LeaseSummary } from '../../../client/durable/handle';
import { deleteKeyAction, resolveCompensationAction, retryCompensationAction } from '../actions/more';
import { at, get } from '../lib/api';
import { count, duration, json } from '../lib/format';
import { useMe, workflowLink } from '../lib/me';
import { usePages } from '../lib/pages';
import { useAsked, useTitle } from '../lib/use';
import { ActButton } from '../parts/dialog';
import { Listed } from '../parts/listed';
import { Section } from '../parts/section';
import type { Column } from '../parts/table';
import { Ago, Data, State, Trouble } from '../parts/text';

export function ActivitiesPage() {
  useTitle('Activities');
  return (
    <>
      <header class="head">
        <h1>Activities</h1>
      </header>
      <Broken />
      <Leases />
      <Key />
    </>
  );
}

const BROKEN: Column<BrokenCompensation>[] = [
  { head: 'compensation', names: true, cell: ({ activity }) => <Data text={activity} /> },
  { head: 'of the workflow', cell: ({ saga }) => <Workflow id={saga} /> },
  { head: 'state', cell: ({ state }) => <State is={state === 'failed' ? 'failed' : 'running'} word={state} /> },
  { head: 'attempts', figure: true, cell: ({ attempts }) => count(attempts) },
  { head: 'since', figure: true, cell: ({ failedAt }) => <Ago at={failedAt} /> },
  { head: 'error', text: true, cell: ({ error }) => (error === null ? '' : <Data text={error} most={160} />) },
  {
    head: 'actions',
    mute: true,
    cell: ({ task, activity, attempts }) => (
      <span class="acts">
        <ActButton action={retryCompensationAction(task, activity, attempts)} quiet />
        <ActButton action={resolveCompensationAction(task, activity)} quiet />
      </span>
    ),
  },
];

function Workflow({ id }: { id: string }) {
  const link = workflowLink(useMe(), id);
  return link ? (
    <a href={link} target="_blank" rel="noreferrer">
      <Data text={id} most={50} />
    </a>
  ) : (
    <Data text={id} most={50} />
  );
}

function Broken() {
  const list = usePages<BrokenCompensation>(
    'compensations',
    (wanted, signal) => get('compensations', { ...wanted }, signal),
    { first: 200, everyMs: 5_000 },
  );
  return (
    <Section title="Sagas to mend">
      <Listed
        list={list}
        caption="Sagas to mend"
        columns={BROKEN}
        keyOf={({ task }) => task}
        empty={<p class="quiet">No compensation has failed for good.</p>}
      />
    </Section>
  );
}

const LEASES: Column<LeaseSummary>[] = [
  { head: 'activity', names: true, cell: ({ activity }) => <Data text={activity} /> },
  { head: 'workflow', cell: ({ workflow }) => <Workflow id={workflow} /> },
  { head: 'on', cell: ({ owner }) => <Data text={owner} most={40} /> },
  { head: 'attempt', figure: true, cell: ({ attempt }) => count(attempt) },
  {
    head: 'resource',
    wide: true,
    cell: ({ resource }) => (resource === null ? '—' : <Data text={resource} most={40} />),
  },
  { head: 'held', figure: true, cell: ({ heldMs }) => duration(heldMs) },
  {
    head: 'left',
    figure: true,
    cell: ({ leftMs }) => (leftMs < 0 ? <State is="notice" word="run out" /> : duration(leftMs)),
  },
];

function Leases() {
  const list = usePages<LeaseSummary>('leases', (wanted, signal) => get('leases', { ...wanted }, signal), {
    first: 200,
    everyMs: 3_000,
  });
  return (
    <Section title="Leases">
      <Listed
        list={list}
        caption="Leases"
        columns={LEASES}
        keyOf={({ task }) => task}
        empty={<p class="quiet">No durable activity runs at this moment.</p>}
      />
    </Section>
  );
}

function Key() {
  const [asked, setAsked] = useState<{ activity: string; key: string }>();
  const path = asked && at('activities', asked.activity, 'keys', asked.key);
  const { data, problem } = useAsked(path, (signal) => get<KeyDetails>(path ?? '', {}, signal), 5_000);
  const look = (event: Event): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => {
      const value = form.get(name);
      return typeof value === 'string' ? value.trim() : '';
    };
    if (text('activity') && text('key')) setAsked({ activity: text('activity'), key: text('key') });
  };
  return (
    <Section title="Keys">
      <form class="row" onSubmit={look}>
        <label>
          activity <input type="text" name="activity" required />
        </label>
        <label>
          key <input type="text" name="key" required />
        </label>
        <button type="submit">Look it up</button>
      </form>
      {problem && <Trouble words={problem.message} />}
      {data && <KeyFacts found={data} />}
    </Section>
  );
}

function KeyFacts({ found }: { found: KeyDetails }) {
  return (
    <>
      <p class="facts">
        <State
          is={found.state === 'done' ? 'done' : found.state === 'failed' ? 'failed' : 'running'}
          word={found.state}
        />
        <span>
          by <Workflow id={found.workflow} />, {count(found.attempts)} attempts
        </span>
        <span>
          since <Ago at={found.createdAt} />
        </span>
        {found.expiresAt !== null && (
          <span>
            forgotten <Ago at={found.expiresAt} />
          </span>
        )}
        {found.otherInputs > 0 && (
          <State is="notice" word={`asked ${count(found.otherInputs)} times for something else`} />
        )}
      </p>
      {found.error !== null && <Trouble words={found.error} />}
      {found.state === 'done' && (
        <pre class="json" tabIndex={0} role="group" aria-label="Result">
          {json(found.result)}
        </pre>
      )}
      <p class="bulk">
        <ActButton action={deleteKeyAction(found.activity, found.key)} />
      </p>
    </>
  );
}
