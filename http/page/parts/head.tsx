/** The head of a thing's page: where one is, its name and state, its actions, and the tabs of its parts. */
import type { ComponentChildren } from 'preact';
import type { Action } from '../actions/action';
import { useMe, workflowLink } from '../lib/me';
import { href } from '../lib/route';
import { useCurrentSeen } from '../lib/seen';
import { ActButton } from './dialog';
import { Data, State } from './text';

interface Props {
  /** The list that it is of: `trackers`. */
  list: [string, string];
  name: string;
  state?: string;
  facts?: ComponentChildren;
  actions?: readonly Action[];
  /** Its workflow in Temporal. */
  workflow?: string;
}

export function Head({ list: [list, title], name, state, facts, actions = [], workflow }: Props) {
  const link = workflowLink(useMe(), workflow ?? '');
  return (
    <header class="head">
      <p class="quiet where">
        <a href={href(list)}>{title}</a>
      </p>
      <div class="names">
        <h1>
          <Data text={name} most={120} />
        </h1>
        {state && <State is={state} />}
        {facts}
      </div>
      <div class="acts">
        {actions.map((action) => (
          <ActButton key={action.title} action={action} />
        ))}
        {workflow && link && (
          <a href={link} target="_blank" rel="noreferrer">
            its workflow in Temporal
          </a>
        )}
      </div>
    </header>
  );
}

/** Parts of a thing, each with an address of its own. */
export function Tabs({ path, parts, is }: { path: readonly string[]; parts: readonly [string, string][]; is: string }) {
  const row = useCurrentSeen(is);
  return (
    <nav class="tabs" aria-label="Parts" ref={row}>
      {parts.map(([part, title]) => (
        <a
          key={part}
          href={part === '' ? href(...path) : href(...path, part)}
          aria-current={part === is ? 'page' : undefined}
        >
          {title}
        </a>
      ))}
    </nav>
  );
}

/** A name that the live state does not have. */
export function Missing({ kind, name, list }: { kind: string; name: string; list: string }) {
  return (
    <div class="empty">
      <h1>There is no {kind} of this name</h1>
      <p>
        <Data text={name} /> was never started, or is of another deployment. <a href={href(list)}>To the list</a>
      </p>
    </div>
  );
}
