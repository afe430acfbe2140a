/** One tracker: how its operations do, what holds it back, its history; members, mail, pools and options under tabs. */
import { unitActions } from '../actions/units';
import { addAction, openHoldsAction, refetchAction } from '../actions/tracker';
import { clock, count, duration } from '../lib/format';
import type { Live } from '../lib/live';
import { useReceives } from '../lib/receives';
import { href, type Route } from '../lib/route';
import type { TrackerSummary } from '../lib/state';
import { useSparks } from '../lib/sparks';
import { useTitle } from '../lib/use';
import { workflowId } from '../lib/workflows';
import { ActButton } from '../parts/dialog';
import { Head, Missing, Tabs } from '../parts/head';
import { Section } from '../parts/section';
import { Settings } from '../parts/settings';
import { Table } from '../parts/table';
import { Data, State } from '../parts/text';
import { Mail } from './mail';
import { Member } from './member';
import { Members } from './members';
import { operationNames, OPERATIONS, TrackerFacts, Trackers } from './overview-lists';
import { Pools } from './pools';
import { Freshness } from './freshness';
import { History } from './history';

const PARTS: [string, string][] = [
  ['', 'Operations'],
  ['members', 'Members'],
  ['mail', 'Mail'],
  ['pools', 'Pools'],
  ['options', 'Options'],
];

export function TrackerList({ live }: { live: Live }) {
  useTitle('Trackers');
  return live.state ? <Trackers main trackers={live.state.status.trackers} /> : null;
}

export function TrackerPage({ live, route }: { live: Live; route: Route }) {
  const [, name = '', part = '', id] = route.path;
  useTitle(name);
  if (!live.state) return <p class="quiet">Asking the server…</p>;
  const tracker = live.state.status.trackers.find((each) => each.name === name);
  if (!tracker) return <Missing kind="tracker" name={name} list="trackers" />;
  if (part === 'members' && id !== undefined) return <Member tracker={tracker} id={id} />;
  return (
    <>
      <Head
        list={['trackers', 'Trackers']}
        name={name}
        state={tracker.state}
        facts={<TrackerFacts tracker={tracker} />}
        actions={[...unitActions('tracker', tracker), addAction(name), refetchAction(name)]}
        workflow={workflowId.tracker(name)}
      />
      <Parts tracker={name} is={part} />
      {part === '' && <Operations tracker={tracker} />}
      {part === 'members' && <Members tracker={tracker} route={route} />}
      {part === 'mail' && <Mail tracker={name} route={route} letter={id} />}
      {part === 'pools' && <Pools tracker={tracker} nodes={live.state.cluster.nodes} />}
      {part === 'options' && <Settings list="trackers" name={name} />}
    </>
  );
}

/** Mail is for trackers whose members receive. */
function Parts({ tracker, is }: { tracker: string; is: string }) {
  const receives = useReceives(tracker) || is === 'mail';
  const parts = PARTS.filter(([part]) => part !== 'mail' || receives);
  return <Tabs path={['trackers', tracker]} parts={parts} is={is} />;
}

function Operations({ tracker }: { tracker: TrackerSummary }) {
  const enabled = tracker.operations.filter((operation) => operation.enabled);
  const sparkOf = useSparks('operation', operationNames([tracker]));
  return (
    <>
      <Section title="Operations" count={tracker.operations.length}>
        <Table
          caption="Operations"
          columns={OPERATIONS(sparkOf)}
          rows={tracker.operations.map((operation) => ({ tracker, operation }))}
          keyOf={({ operation }) => operation.name}
          tone={({ operation }) => (operation.enabled ? undefined : 'off')}
        />
      </Section>
      <HeldBack tracker={tracker} />
      <Freshness tracker={tracker} />
      <History kind="operation" names={enabled.map(({ name }) => `${tracker.name}/${name}`)} />
    </>
  );
}

/** The upstream's own wishes, and limits that have nothing left. */
function HeldBack({ tracker: { name, holds, heldBack } }: { tracker: TrackerSummary }) {
  if (holds.length + heldBack.length === 0) return null;
  return (
    <Section title="Held back" count={holds.length + heldBack.length}>
      <ul class="lines">
        {holds.map((hold) => (
          <li key={`hold ${hold.operation ?? ''}`}>
            <State is="held" word={`${hold.operation ?? 'all operations'} for another ${duration(hold.leftMs)}`} />
            <Data text={hold.reason} most={200} />
            <span class="quiet">
              told to <Data text={hold.node} />
            </span>
            <ActButton action={openHoldsAction(name, hold.operation)} quiet />
          </li>
        ))}
        {heldBack.map((held) => (
          <li key={`${held.operation} ${held.upstream}/${held.limit}`}>
            <State
              is={held.closed ? 'closed' : 'held'}
              word={`${held.operation}: ${count(held.members)} of its members wait`}
            />
            <a href={href('upstreams', held.upstream)}>
              <Data text={held.buckets === 1 ? held.bucket : `${held.upstream}/${held.limit}`} />
            </a>
            <span class="quiet">
              {held.closed ? 'which is closed' : 'which is empty'}
              {held.until === null ? '' : `; the first until ${clock(new Date(held.until))}`}
            </span>
          </li>
        ))}
      </ul>
    </Section>
  );
}
