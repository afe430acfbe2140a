/**
 * The part of a member's page that only members have which receive: the messages that wait for it, in their order and
 * with what keeps each, the times that it has set itself, and its state.
 */
import { useState } from 'preact/hooks';
import type { BriefLife, MemberLifeDetails } from '../../../client/member/lives';
import { at, get } from '../lib/api';
import { count, json, plural, short, verb } from '../lib/format';
import { href } from '../lib/route';
import { useAsked } from '../lib/use';
import { Section } from '../parts/section';
import { Table, type Column } from '../parts/table';
import { Ago, Data, State, Trouble } from '../parts/text';

interface Props {
  tracker: string;
  id: string;
  life: BriefLife;
}

type Message = MemberLifeDetails['messages'][number];

/** The state may have megabytes. Milliseconds. */
const EVERY_MS = 4_000;

export function Life({ tracker, id, life }: Props) {
  const { mail, timers, struckValues } = life;
  const [isOpen, setIsOpen] = useState(false);
  const path = at('trackers', tracker, 'members', id, 'life');
  const isWanted = isOpen || mail.entries > 0;
  const { data, problem, again } = useAsked(
    isWanted ? path : undefined,
    (signal) => get<MemberLifeDetails>(path, {}, signal),
    EVERY_MS,
  );
  return (
    <Section title="Mail and timers">
      <Facts tracker={tracker} id={id} life={life} />
      {problem && isWanted && <Trouble words={problem.message} again={again} />}
      {mail.entries > 0 && data && data.messages.length > 0 && <Messages messages={data.messages} of={mail.entries} />}
      <ul class="lines">
        {timers.map(({ name, at: when, attempts, strikes }) => (
          <li key={name}>
            timer <Data text={name} /> <Ago at={when} />
            {attempts > 0 && <State is="notice" word={`failed ${plural(attempts, 'time')}`} />}
            <Strikes strikes={strikes} />
          </li>
        ))}
        {struckValues.map(({ operation, changedAt, strikes }) => (
          <li key={operation}>
            value of <Data text={operation} /> <Ago at={changedAt} />
            <Strikes strikes={strikes} />
          </li>
        ))}
      </ul>
      {life.stateBytes !== null && (
        <details onToggle={(event) => setIsOpen(event.currentTarget.open)}>
          <summary>its state</summary>
          {isOpen && data && (
            <pre class="json" tabIndex={0} role="group" aria-label="State">
              {json(data.state)}
            </pre>
          )}
        </details>
      )}
    </Section>
  );
}

function Facts({ tracker, id, life: { mail, dead, stateBytes, version, writtenAt } }: Props) {
  return (
    <p class="facts">
      <span>
        {mail.entries === 0
          ? 'no message waits'
          : `${plural(mail.entries, 'message')} of ${short(mail.bytes)} bytes ${verb(mail.entries, 'waits', 'wait')}`}
      </span>
      {mail.oldestAt !== null && (
        <span>
          the oldest since <Ago at={mail.oldestAt} />
        </span>
      )}
      <span>{stateBytes === null ? 'no state' : `a state of ${short(stateBytes)} bytes, version ${version}`}</span>
      <span>
        last turn <Ago at={writtenAt} />
      </span>
      {dead > 0 && (
        <a href={`${href('trackers', tracker, 'mail')}?${new URLSearchParams({ member: id }).toString()}`}>
          <State is="failed" word={plural(dead, 'dead letter')} />
        </a>
      )}
    </p>
  );
}

const MESSAGES: Column<Message>[] = [
  { head: 'message', names: true, cell: ({ message }) => <Data text={JSON.stringify(message)} most={70} mono /> },
  { head: 'from', wide: true, cell: ({ from }) => <Data text={from} most={40} /> },
  { head: 'waits since', figure: true, cell: ({ storedAt }) => <Ago at={storedAt} /> },
  { head: 'attempts', figure: true, cell: ({ attempts }) => count(attempts) },
  { head: 'strikes', figure: true, cell: ({ strikes }) => <Strikes strikes={strikes} none="0" /> },
  { head: 'not before', figure: true, cell: ({ notBefore }) => <Ago at={notBefore} /> },
  { head: 'error', text: true, cell: ({ error }) => (error === null ? '' : <Data text={error} most={140} />) },
];

/** They are handled in this order: the first one that fails keeps all behind it waiting. */
function Messages({ messages, of }: { messages: readonly Message[]; of: number }) {
  return (
    <>
      <Table
        caption="Messages that wait"
        columns={MESSAGES}
        rows={messages}
        keyOf={(message) => `${message.storedAt} ${messages.indexOf(message)}`}
      />
      {of > messages.length && <p class="more quiet">These are the first {count(messages.length)} that wait.</p>}
    </>
  );
}

/** Processes that have ended while this may have been at work. */
function Strikes({ strikes, none = '' }: { strikes: number; none?: string }) {
  if (strikes === 0) return <>{none}</>;
  return (
    <span title={`${plural(strikes, 'process', 'processes')} ended while this may have been at work`}>
      <State is="notice" word={plural(strikes, 'strike')} />
    </span>
  );
}
