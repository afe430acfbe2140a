/**
 * The frame of every page: where one can go, how old the figures are, the theme; and the page that the address names.
 * Drawn by `main.tsx`.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { duration } from './lib/format';
import { connect, OLD_MS, useLive, type Live } from './lib/live';
import { href, useRoute, type Route } from './lib/route';
import { useTheme, type Theme } from './lib/theme';
import { useNow } from './lib/use';
import { State } from './parts/text';
import { Overview } from './pages/overview';

interface Place {
  id: string;
  name: string;
  count?: (live: Live) => number | undefined;
}

const PLACES: readonly Place[] = [{ id: '', name: 'Overview' }];

export function Shell() {
  const route = useRoute();
  const live = useLive();
  useEffect(() => {
    connect(() => Promise.resolve(false));
  }, []);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/">
          Longwatch
        </a>
        <Stream live={live} />
        <ThemeSwitch />
      </header>
      <Rail route={route} live={live} />
      <Main route={route} live={live} />
    </>
  );
}

/** The address behind `#` is the page, so the link to the content moves the focus itself. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

function Rail({ route, live }: { route: Route; live: Live }) {
  return (
    <nav class="rail" aria-label="Pages">
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
  const now = useNow();
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
      {(live.stream === 'broken' || live.stream === 'refused') && <Broken live={live} />}
      <Page route={route} live={live} />
    </main>
  );
}

/** Nobody may take what is on the page for what is. */
function Broken({ live }: { live: Live }) {
  const now = useNow();
  const since = live.brokenAt === undefined ? 0 : now - live.brokenAt;
  return (
    <p class="broken" role="alert">
      <State is="problem" word="The server of this page does not answer" />
      {since > 1_000 && ` for ${duration(Math.round(since / 1_000) * 1_000)}`}
      {live.heardAt > 0 && '; the figures are those of before'}. It is tried again by itself.
    </p>
  );
}

function Page({ route, live }: { route: Route; live: Live }): ComponentChildren {
  const [place] = route.path;
  if (place === undefined) return <Overview live={live} />;
  return (
    <div class="empty">
      <h1>There is no such page</h1>
      <p>
        <a href="#/">To the overview</a>
      </p>
    </div>
  );
}
