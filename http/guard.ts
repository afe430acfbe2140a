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

/** As the header `host` has it, where the port is not a usual one. */
const HOST = /^([\w-]+(\.[\w-]+)*\.?|\[[\da-f:.]+\])(:\d{1,5})?$/i;

/** @throws TypeError for one that no browser asks for, so that everybody would be refused */
export function readHosts(hosts: Hosts): Hosts {
  if (typeof hosts === 'string') return hosts;
  const wrong = hosts.find((host) => !HOST.test(host));
  if (wrong === undefined) return hosts.map(usual);
  throw new TypeError(
    `'${wrong.slice(0, 100)}' is not a host as browsers ask for it, such as ops.example.com, ops.example.com:8443 or [::1]:8765; names with other letters begin with xn--`,
  );
}

/** Browsers leave out a port that is the usual one; a setting may have it. */
const usual = (host: string): string => host.toLowerCase().replace(/:(80|443)$/, '');

/** Whether it is a name of this machine for itself: others reach it by none of these. */
export const isOfLoopback = (host: string): boolean => LOOPBACK.test(host);

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
  return hosts.includes(usual(host));
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
  const named = typeof hosts === 'string' ? [] : hosts;
  if (from === undefined || ![usual(hostOf(request)), ...named].includes(from)) throw otherSite(origin);
}

/** @param from where the page is, where that is known: behind a proxy it may be ours by a name that it was not given */
const otherSite = (from?: string): ApiError =>
  new ApiError(
    403,
    'OtherSite',
    from === undefined
      ? 'a page of another site may not ask for this'
      : `a page of another site may not ask for this, and ${from.slice(0, 100)} is not known as its own; name its hosts: longwatch dashboard --host-name NAME, or the option \`hosts\``,
  );

/** As it is asked for, with the port where that is not the usual one. */
export const hostOf = (request: Request): string => request.headers.get('host') ?? new URL(request.url).host;

function hostOfUrl(origin: string): string | undefined {
  try {
    return usual(new URL(origin).host);
  } catch {
    return undefined;
  }
}
