/**
 * The mail of a tracker whose members receive: the messages on which a handler has failed too often, found by their
 * member or error, retried or dropped in bulk; and the members that have a state, with what waits for each.
 */
import type { DeadLetter } from '../../../client/member/dead';
import type { MemberLife } from '../../../client/member/lives';
import { deadMailAction, sendAction, type MailFilter } from '../actions/mail';
import { at, get } from '../lib/api';
import { count, json, plural, short } from '../lib/format';
import { usePages } from '../lib/pages';
import { ask, href, type Route } from '../lib/route';
import { useAsked } from '../lib/use';
import { Bulk, useChosen } from '../parts/chosen';
import { deathColumns } from '../parts/deaths';
import { ActButton } from '../parts/dialog';
import { Listed } from '../parts/listed';
import { memberId } from '../parts/member-id';
import { Section } from '../parts/section';
import type { Column } from '../parts/table';
import { Ago, Data, Empty, State, Trouble } from '../parts/text';

interface Props {
  tracker: string;
  route: Route;
  letter: string | undefined;
}

export function Mail({ tracker, route, letter }: Props) {
  if (letter !== undefined) return <Letter tracker={tracker} id={letter} />;
  return (
    <>
      <Dead tracker={tracker} member={route.query.get('member') ?? ''} error={route.query.get('error') ?? ''} />
      <Lives tracker={tracker} />
    </>
  );
}

const DEAD = (tracker: string): Column<DeadLetter>[] => [
  { head: 'id', names: true, cell: ({ id }) => <a href={href('trackers', tracker, 'mail', id)}>{id}</a> },
  { head: 'member', cell: ({ member }) => <MemberLink tracker={tracker} id={member} /> },
  ...deathColumns('message'),
];

function MemberLink({ tracker, id }: { tracker: string; id: string }) {
  return (
    <a href={href('trackers', tracker, 'members', id)}>
      <Data text={id} most={40} />
    </a>
  );
}

function Dead({ tracker, member, error }: { tracker: string; member: string; error: string }) {
  const path = at('trackers', tracker, 'dead');
  const given: Pick<MailFilter, 'member' | 'error'> = { ...(member && { member }), ...(error && { error }) };
  const key = `${path} ${JSON.stringify(given)}`;
  const list = usePages<DeadLetter>(key, (wanted, signal) => get(path, { ...given, ...wanted }, signal), {
    most: 100,
    everyMs: 3_000,
  });
  const { data } = useAsked(`count ${key}`, (signal) => get<{ count: number }>(`${path}/count`, { ...given }, signal), 3_000); // prettier-ignore
  const chosen = useChosen(list.items, () => true);
  const filter = chosen.ids.length > 0 ? { ids: chosen.ids } : given;
  const isWhole = member === '' && error === '';
  return (
    <Section
      title="Dead letters"
      count={data?.count}
      beside={
        <span class="filters">
          <input
            type="search"
            placeholder="of the member…"
            aria-label="Only of this member"
            value={member}
            onInput={(event) => ask({ member: event.currentTarget.value })}
          />
          <input
            type="search"
            placeholder="error contains…"
            aria-label="Only where the error contains"
            value={error}
            onInput={(event) => ask({ error: event.currentTarget.value })}
          />
        </span>
      }
    >
      {list.items.length > 0 && (
        <Bulk
          chosen={chosen}
          shown={list.items.map(({ id }) => id)}
          whole={`all ${data === undefined ? '' : count(data.count)} ${isWhole ? '' : 'of these'}`.trim()}
          actions={[deadMailAction(tracker, 'retry', filter), deadMailAction(tracker, 'drop', filter)]}
        />
      )}
      <Listed
        list={list}
        caption="Dead letters"
        columns={[chosen.column, ...DEAD(tracker)]}
        keyOf={({ id }) => id}
        of={data?.count}
        empty={
          <p class="quiet">
            {isWhole
              ? 'No message was given up: no handler has failed on one too often.'
              : 'There is no such dead letter.'}
          </p>
        }
      />
    </Section>
  );
}

const LIVES = (tracker: string): Column<MemberLife>[] => [
  memberId(tracker),
  {
    head: 'messages wait',
    figure: true,
    cell: ({ mail }) => `${count(mail.entries)}${mail.entries >= 1_000 ? ' or more' : ''}`,
  },
  { head: 'the oldest', figure: true, cell: ({ mail }) => <Ago at={mail.oldestAt} /> },
  { head: 'timers', figure: true, cell: ({ timers }) => count(timers) },
  {
    head: 'state',
    figure: true,
    wide: true,
    cell: ({ stateBytes }) => (stateBytes === null ? '—' : `${short(stateBytes)} bytes`),
  },
  { head: 'version', figure: true, wide: true, cell: ({ version }) => count(version) },
  { head: 'last turn', figure: true, cell: ({ writtenAt }) => <Ago at={writtenAt} /> },
];

function Lives({ tracker }: { tracker: string }) {
  const path = at('trackers', tracker, 'lives');
  const list = usePages<MemberLife>(path, (wanted, signal) => get(path, { ...wanted }, signal), {
    first: 50,
    everyMs: 5_000,
  });
  return (
    <Section title="Members with a state" beside={<ActButton action={sendAction(tracker)} />}>
      <Listed
        list={list}
        caption="Members with a state"
        columns={LIVES(tracker)}
        keyOf={({ id }) => id}
        empty={<Empty>No member has had a message yet. Programs send them; a member that has one has a state.</Empty>}
      />
    </Section>
  );
}

function Letter({ tracker, id }: { tracker: string; id: string }) {
  const path = at('trackers', tracker, 'dead', id);
  const { data, problem, again } = useAsked(path, (signal) => get<DeadLetter>(path, {}, signal), 3_000);
  return (
    <Section title={`Dead letter ${id}`} beside={<a href={href('trackers', tracker, 'mail')}>all dead letters</a>}>
      {problem && <Trouble words={problem.message} again={again} />}
      {data && (
        <>
          <p class="facts">
            <State is="failed" word={plural(data.attempts, 'attempt')} />
            <span>
              for <MemberLink tracker={tracker} id={data.member} />
            </span>
            <span>
              from <Data text={data.from} />
            </span>
            <span>
              died <Ago at={data.diedAt} />
            </span>
          </p>
          <p class="bulk">
            <ActButton action={deadMailAction(tracker, 'retry', { ids: [id] })} />{' '}
            <ActButton action={deadMailAction(tracker, 'drop', { ids: [id] })} />
          </p>
          <h3>Error</h3>
          <p>
            <Data text={data.error} most={2_000} />
          </p>
          <h3>Message</h3>
          <pre class="json" tabIndex={0} role="group" aria-label="Message">
            {json(data.value)}
          </pre>
        </>
      )}
    </Section>
  );
}
