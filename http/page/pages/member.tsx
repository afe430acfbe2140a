/** One member: its values with their age, when each operation runs next and why not sooner, errors; its actions. */
import type { MemberDetails, StoredValue } from '../../../client/tracker/members';
import { sendAction } from '../actions/mail';
import { refetchAction, removeAction } from '../actions/tracker';
import { at, get } from '../lib/api';
import { ago, duration, json, left, plural } from '../lib/format';
import { useReceives } from '../lib/receives';
import type { OperationSummary, TrackerSummary } from '../lib/state';
import { useAsked, useNow, useTitle } from '../lib/use';
import { ActButton } from '../parts/dialog';
import { Section } from '../parts/section';
import { Ago, Data, State, Trouble } from '../parts/text';
import { href } from '../lib/route';
import { Life } from './member-life';

export function Member({ tracker, id }: { tracker: TrackerSummary; id: string }) {
  useTitle(id);
  const path = at('trackers', tracker.name, 'members', id);
  const receives = useReceives(tracker.name);
  const { data, problem, again } = useAsked(path, (signal) => get<MemberDetails>(path, {}, signal), 2_000);
  return (
    <>
      <header class="head">
        <p class="quiet where">
          <a href={href('trackers')}>Trackers</a> ›{' '}
          <a href={href('trackers', tracker.name)}>
            <Data text={tracker.name} />
          </a>{' '}
          › <a href={href('trackers', tracker.name, 'members')}>Members</a>
        </p>
        <div class="names">
          <h1>
            <Data text={id} most={120} mono />
          </h1>
          {data && <Facts member={data} />}
        </div>
        {data && (
          <div class="acts">
            {receives && <ActButton action={sendAction(tracker.name, id)} />}
            <ActButton action={refetchAction(tracker.name, id)} />
            <ActButton action={removeAction(tracker.name, [id], receives)} />
          </div>
        )}
      </header>
      {problem && <Trouble words={problem.message} again={again} />}
      {data?.life && <Life tracker={tracker.name} id={id} life={data.life} />}
      {data && <Values member={data} tracker={tracker} />}
    </>
  );
}

function Facts({ member: { pool, node, addedAt, tracker } }: { member: MemberDetails }) {
  return (
    <span class="facts">
      <a href={href('trackers', tracker, 'pools')}>pool {pool}</a>
      <span>
        {node === null ? (
          'no node has kept it yet'
        ) : (
          <>
            kept by <Data text={node} />
          </>
        )}
      </span>
      <span>
        added <Ago at={addedAt} />
      </span>
    </span>
  );
}

function Values({ member, tracker }: { member: MemberDetails; tracker: TrackerSummary }) {
  const stored = new Map(member.values.map((value) => [value.operation, value]));
  const names = [...new Set([...tracker.operations.map(({ name }) => name), ...stored.keys()])];
  return (
    <Section title="Values" count={member.values.length}>
      {names.map((name) => (
        <article class="value" key={name}>
          <header>
            <h3>
              <Data text={name} />
            </h3>
            <ValueFacts value={stored.get(name)} member={member} tracker={tracker} name={name} />
          </header>
          <Why value={stored.get(name)} member={member} tracker={tracker} name={name} />
          <Stored value={stored.get(name)} />
        </article>
      ))}
    </Section>
  );
}

interface OfValue {
  value: StoredValue | undefined;
  member: MemberDetails;
  tracker: TrackerSummary;
  name: string;
}

function ValueFacts({ value, tracker, name }: OfValue) {
  const operation = tracker.operations.find((each) => each.name === name);
  return (
    <span class="facts">
      {operation && <span>{operation.enabled ? `every ${duration(operation.everyMs)}` : 'off'}</span>}
      {value?.fetchedAt ? (
        <span>
          fetched <Ago at={value.fetchedAt} />
        </span>
      ) : (
        <span>never fetched</span>
      )}
      {value?.changedAt && (
        <span>
          changed <Ago at={value.changedAt} />
        </span>
      )}
      {value && value.failures > 0 && <State is="failed" word={`${plural(value.failures, 'failure')} in a row`} />}
    </span>
  );
}

/** When it runs next, and what keeps it from running sooner. */
function Why({ value, member, tracker, name }: OfValue) {
  const now = useNow();
  const operation = tracker.operations.find((each) => each.name === name);
  const hold = member.holds.find((each) => each.operation === null || each.operation === name);
  const wait = member.waits.find((each) => each.operation === name);
  const reasons: string[] = [];
  const next = nextOf(value, tracker, operation, now);
  if (tracker.state !== 'running') reasons.push(`the tracker is ${tracker.state}`);
  if (tracker.gate !== null && tracker.gate !== 'open')
    reasons.push(`the gate is ${tracker.gate}, and what is gated waits`);
  if (hold)
    reasons.push(
      `${hold.operation === null ? 'the whole tracker' : 'the operation'} is held for another ${left(hold.heldUntil, now)}: ${hold.reason}`,
    );
  if (wait) {
    const until = wait.until === null ? '' : ` for another ${left(wait.until, now)}`;
    reasons.push(`${wait.bucket} is ${wait.closed ? 'closed' : 'empty'}${until}`);
  }
  if (value?.heldUntil && Date.parse(value.heldUntil) > now)
    reasons.push(`this member is left alone for another ${left(value.heldUntil, now)}`);
  if (value?.expiresAt && Date.parse(value.expiresAt) > now)
    reasons.push(`the answer is good for another ${left(value.expiresAt, now)}`);
  if (value?.error && value.failures > 0)
    reasons.push(`the last run failed ${ago(value.failedAt, now)}: ${value.error}`);
  return (
    <p class="why">
      <span class="quiet">next run:</span> {next}
      {reasons.length > 0 && (
        <>
          {' · '}
          <Data text={reasons.join('; ')} most={500} />
        </>
      )}
    </p>
  );
}

function nextOf(
  value: StoredValue | undefined,
  tracker: TrackerSummary,
  operation: OperationSummary | undefined,
  now: number,
): string {
  if (!operation) return 'none: the tracker does not have this operation any more';
  if (!operation.enabled) return 'none: it is off';
  if (tracker.state !== 'running') return 'not before the tracker runs again';
  return value?.nextAt ? ago(value.nextAt, now) : 'as soon as its node comes to it';
}

function Stored({ value }: { value: StoredValue | undefined }) {
  if (!value || value.fetchedAt === null) return null;
  if ((value as { hidden?: boolean }).hidden)
    return <p class="quiet">The definition says that this value is not shown.</p>;
  return (
    // It scrolls in itself, so the keyboard must reach it.
    <pre class="json" tabIndex={0} aria-label={`Value of ${value.operation}`} role="group">
      {json(value.value)}
    </pre>
  );
}
