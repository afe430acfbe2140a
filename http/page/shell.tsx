/**
 * The frame of every page: where one can go, how old the figures are, the theme; and the page that the address names.
 * Drawn by `main.tsx`.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { duration } from './lib/format';
import { OLD_MS, useLive, type Live } from './lib/live';
import { MeContext, type Me } from './lib/me';
import { useIsOfAnotherRelease } from './lib/release';
import { href, useRoute, type Route } from './lib/route';
import { useCurrentSeen } from './lib/seen';
import { useSession } from './lib/session';
import { useTheme, type Theme } from './lib/theme';
import { useOwnNow } from './lib/use';
import { ActivitiesPage } from './pages/activities';
import { BufferList, BufferPage } from './pages/buffer';
import { JobList, JobPage } from './pages/job';
import { LogPage } from './pages/log';
import { NodePage, NodesPage } from './pages/nodes';
import { Overview } from './pages/overview';
import { Closed } from './pages/closed';
import { TrackerList, TrackerPage } from './pages/tracker';
import { UpstreamList, UpstreamPage } from './pages/upstream';
import { Boundary } from './parts/boundary';
import { Dialogs } from './parts/dialog';
import { Data, State } from './parts/text';

interface Place {
  id: string;
  name: string;
  count?: (live: Live) => number | undefined;
}

const PLACES: readonly Place[] = [
  { id: '', name: 'Overview' },
  { id: 'trackers', name: 'Trackers', count: ({ state }) => state?.status.trackers.length },
  { id: 'buffers', name: 'Buffers', count: ({ state }) => state?.status.buffers.length },
  { id: 'jobs', name: 'Jobs', count: ({ state }) => state?.status.jobs.length },
  { id: 'upstreams', name: 'Upstreams' },
  { id: 'nodes', name: 'Nodes', count: ({ state }) => state?.cluster.nodes.filter(({ alive }) => alive).length },
  { id: 'activities', name: 'Activities' },
  { id: 'log', name: 'Log' },
];

export function Shell() {
  const route = useRoute();
  const live = useLive();
  const session = useSession();
  if (session.door) return <Closed door={session.door} again={session.again} signedIn={session.signedIn} />;
  return (
    <MeContext.Provider value={session.me}>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/">
          Longwatch
        </a>
        <Who me={session.me} />
        <Stream live={live} />
        <ThemeSwitch />
        {session.me?.byCookie && <SignOut signOut={session.signOut} />}
      </header>
      <Rail route={route} live={live} />
      <Main route={route} live={live} />
      <Dialogs state={live.state} />
    </MeContext.Provider>
  );
}

/** The servers, and the name under which one acts. */
function Who({ me }: { me: Me | undefined }) {
  if (!me) return null;
  return (
    <span
      class="who quiet"
      title={`Temporal at ${me.environment.temporal}, PostgreSQL at ${me.environment.database ?? 'unknown'}`}
    >
      <Data text={me.environment.namespace} most={40} /> · <Data text={me.name} most={40} />
      {me.role !== 'admin' && ` · may ${me.role === 'read' ? 'only read' : 'operate'}`}
    </span>
  );
}

function SignOut({ signOut }: { signOut: () => Promise<string | undefined> }) {
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const act = async (): Promise<void> => {
    setBusy(true);
    setFailure(await signOut());
    setBusy(false);
  };
  return (
    <span class="sign-out">
      <button type="button" class="link theme" disabled={busy} onClick={() => void act()}>
        sign out
      </button>
      {failure !== undefined && (
        <span role="alert">
          <State is="failed" word="not signed out: " />
          <Data text={failure} most={120} />
        </span>
      )}
    </span>
  );
}

/** The address behind `#` is the page, so the link to the content moves the focus itself. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

function Rail({ route, live }: { route: Route; live: Live }) {
  const row = useCurrentSeen(route.path[0] ?? '');
  return (
    <nav class="rail" aria-label="Pages" ref={row}>
      <ul>
        {PLACES.map(({ id, name, count }) => {
          const is = (route.path[0] ?? '') === id;
          const many = live.state && count?.(live);
          return (
            <li key={id}>
              <a href={id === '' ? '#/' : href(id)} aria-current={is ? 'page' : undefined}>
                {name}
                {many !== undefined && <span class="count">{many}</span>}
              </a>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

/** The sign of life of the figures: live, old, or cut. */
function Stream({ live }: { live: Live }) {
  const now = useOwnNow();
  const ageMs = now - live.heardAt;
  if (live.stream === 'connecting') return <span class="stream quiet">connecting…</span>;
  if (live.stream === 'open' && ageMs < OLD_MS) {
    return (
      <span class="stream">
        <State is="running" word="live" />
      </span>
    );
  }
  return (
    <span class="stream" role="status">
      <State
        is="problem"
        word={live.heardAt === 0 ? 'no answer' : `${duration(Math.round(ageMs / 1_000) * 1_000)} old`}
      />
    </span>
  );
}

const NEXT: Record<Theme, { next: Theme; label: string }> = {
  system: { next: 'light', label: 'as the system' },
  light: { next: 'dark', label: 'light' },
  dark: { next: 'system', label: 'dark' },
};

function ThemeSwitch() {
  const [theme, setTheme] = useTheme();
  const { next, label } = NEXT[theme];
  return (
    <button type="button" class="link theme" onClick={() => setTheme(next)} aria-label={`Theme: ${label}; change it`}>
      <span aria-hidden="true">◐</span> {label}
    </button>
  );
}

function Main({ route, live }: { route: Route; live: Live }) {
  const main = useRef<HTMLElement>(null);
  const place = route.path.join('/');
  const first = useRef(true);
  // A reader with a keyboard begins at the head of the next page; on the first one the browser decides.
  useEffect(() => {
    if (first.current) first.current = false;
    else {
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }, [place]);
  return (
    <main id="main" ref={main} tabIndex={-1}>
      <Broken live={live} />
      <Replica live={live} />
      <Release />
      <Boundary place={place}>
        <Page route={route} live={live} />
      </Boundary>
    </main>
  );
}

function Release() {
  if (!useIsOfAnotherRelease()) return null;
  return (
    <p class="release" role="status">
      The server has another release of this page since it was loaded.{' '}
      <button type="button" class="link" onClick={() => location.reload()}>
        load it again
      </button>
    </p>
  );
}

/** A replica that is as far behind as this is one that follows. Milliseconds. */
const FOLLOWS_MS = 5_000;

/** The stream is live, and what it says is not. */
function Replica({ live: { state } }: { live: Live }) {
  if (!state?.status.replica) return null;
  const { behindMs } = state.status.replica;
  if (behindMs !== null && behindMs < FOLLOWS_MS) return null;
  return (
    <p class="broken" role="note">
      <State is="problem" word="Trackers, buffers, jobs and all lists are read from a replica " />
      {behindMs === null
        ? 'that has not followed anything yet.'
        : `that is ${duration(behindMs)} behind: they are as they were then.`}
    </p>
  );
}

/** A stream that ends as it should comes again within this. Milliseconds. */
const GRACE_MS = 1_500;

/** Nobody may take what is on the page for what is. */
function Broken({ live }: { live: Live }) {
  const now = useOwnNow();
  const since = live.brokenAt === undefined ? 0 : now - live.brokenAt;
  if (live.problem !== undefined && live.stream === 'open') {
    return (
      <p class="broken" role="alert">
        <State is="problem" word="The state could not be read: " />
        <Data text={live.problem} most={400} />
        {live.heardAt > 0 && '; the figures are those of before'}. It is tried again by itself.
      </p>
    );
  }
  if (live.stream !== 'broken' || since < GRACE_MS) return null;
  return (
    <p class="broken" role="alert">
      {live.words === undefined ? (
        <>
          <State is="problem" word="The server of this page does not answer" /> for{' '}
          {duration(Math.round(since / 1_000) * 1_000)}
        </>
      ) : (
        <>
          <State is="problem" word="The server of this page cannot be asked: " />
          <Data text={live.words} most={400} />
        </>
      )}
      {live.heardAt > 0 && '; the figures are those of before'}. It is tried again by itself.
    </p>
  );
}

function Page({ route, live }: { route: Route; live: Live }): ComponentChildren {
  const [place, name] = route.path;
  switch (place) {
    case undefined:
      return <Overview live={live} />;
    case 'trackers':
      return name === undefined ? <TrackerList live={live} /> : <TrackerPage live={live} route={route} />;
    case 'buffers':
      return name === undefined ? <BufferList live={live} /> : <BufferPage live={live} route={route} />;
    case 'jobs':
      return name === undefined ? <JobList live={live} /> : <JobPage live={live} route={route} />;
    case 'upstreams':
      return name === undefined ? <UpstreamList live={live} /> : <UpstreamPage live={live} route={route} />;
    case 'nodes':
      return name === undefined ? <NodesPage live={live} /> : <NodePage live={live} route={route} />;
    case 'activities':
      return <ActivitiesPage />;
    case 'log':
      return <LogPage route={route} />;
    default:
      return <NoPage />;
  }
}

function NoPage() {
  return (
    <div class="empty">
      <h1>There is no such page</h1>
      <p>
        <a href="#/">To the overview</a>
      </p>
    </div>
  );
}
