/**
 * A page on another site must not be able to command us through the reader's browser. A socket that listens on the
 * loopback is asked for by names of the loopback only (else a name that somebody turns to 127.0.0.1 would be enough:
 * DNS rebinding), and what changes something comes from our own page or from no page at all. Called by `app.ts` before
 * everything else.
 */
import { ApiError } from './problems';

const ADDRESS = /^(localhost|\d{1,3}(\.\d{1,3}){3}|\[[\da-f:.]+\])(:\d{1,5})?$/i;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/**
 * Hosts, with their ports where these are not the usual ones, by which it may be asked for. `loopback`: any name of
 * this machine for itself. `addresses`: numbers, and no names, since somebody may turn a name to us. `any`: whoever
 * stands before it looks at that.
 */
export type Hosts = readonly string[] | 'loopback' | 'addresses' | 'any';

export function checkHost(request: Request, hosts: Hosts): void {
  if (hosts === 'any') return;
  const host = hostOf(request);
  if (isAmong(host, hosts)) return;
  throw new ApiError(
    421,
    'OtherHost',
    `it is not to be reached as '${host.slice(0, 100)}'; name its hosts: longwatch dashboard --host-name NAME, or the option \`hosts\``,
  );
}

function isAmong(host: string, hosts: Exclude<Hosts, 'any'>): boolean {
  if (hosts === 'loopback') return LOOPBACK.test(host);
  if (hosts === 'addresses') return ADDRESS.test(host);
  return hosts.some((each) => each.toLowerCase() === host.toLowerCase());
}

/**
 * Browsers say where a request comes from; a program says nothing. A proxy may ask us by a host of its own: the page
 * then comes from one of the hosts that were named.
 */
export function checkOrigin(request: Request, hosts: Hosts): void {
  const site = request.headers.get('sec-fetch-site');
  if (site !== null && site !== 'same-origin' && site !== 'none') throw otherSite();
  const origin = request.headers.get('origin');
  if (origin === null) return;
  const from = hostOfUrl(origin);
  const named = typeof hosts === 'string' ? [] : hosts.map((host) => host.toLowerCase());
  if (from === undefined || ![hostOf(request).toLowerCase(), ...named].includes(from)) throw otherSite();
}

const otherSite = (): ApiError => new ApiError(403, 'OtherSite', 'a page of another site may not ask for this');

const hostOf = (request: Request): string => request.headers.get('host') ?? new URL(request.url).host;

function hostOfUrl(origin: string): string | undefined {
  try {
    return new URL(origin).host;
  } catch {
    return undefined;
  }
}
