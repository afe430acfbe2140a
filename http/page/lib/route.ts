/**
 * The place of the reader: the part of the address behind `#`, so that the page works under any prefix without the
 * server's help. Every name in it is encoded. Read by `shell.tsx`; written by links.
 */
import { useEffect, useState } from 'preact/hooks';

export interface Route {
  /** `['trackers', 'characters', 'members', '42']`. */
  path: string[];
  query: URLSearchParams;
}

function readRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  return { path: path.split('/').filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

/** An address that somebody typed may have a stray percent sign. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** `href('trackers', name)` */
export function href(...path: (string | number)[]): string {
  return `#/${path.map((part) => encodeURIComponent(part)).join('/')}`;
}

/** The same page with another query; the reader's way back stays as it was. */
export function ask(query: Record<string, string | undefined>): void {
  const { path, query: before } = readRoute(location.hash);
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === '') before.delete(name);
    else before.set(name, value);
  }
  const text = before.toString();
  history.replaceState(null, '', `${href(...path)}${text ? `?${text}` : ''}`);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => readRoute(location.hash));
  useEffect(() => {
    const changed = (): void => setRoute(readRoute(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}
