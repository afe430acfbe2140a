/**
 * The address of a database: read into its parts, shown from those parts and never as text, and given to `pg` in the
 * form in which its TLS modes mean what they mean to PostgreSQL's own tools. Whatever opens a connection or names a
 * database in a message comes here.
 */

export interface DatabaseAddress {
  user?: string;
  /** Whether there is one. */
  password: boolean;
  /** Empty: PGHOST, or this machine. A path: the folder of a socket. */
  host: string;
  port?: string;
  database?: string;
  sslmode?: string;
}

const FORM = 'postgres://user:password@host:5432/name';
const ENCODE =
  'has a character in its password that must be written as %40 (that is @), %23 (#), %2F (/), %3F (?), %25 (%) or %20 (a blank); ' +
  'or leave the password out and set PGPASSWORD or PGPASSFILE';
/**
 * The modes that `pg` knows. It cannot try without TLS what it failed to do with it, so `allow` and `prefer` are not
 * among them.
 */
const SSL_MODES = ['disable', 'no-verify', 'require', 'verify-ca', 'verify-full'];

/**
 * The reason why an address cannot be used, to be put behind its name (`DATABASE_URL must look like …`); undefined:
 * nothing. It holds nothing of the address: where a password has `@ # / ?` in it, what looks like the host is the rest
 * of the password.
 */
export function problemOf(url: string): string | undefined {
  const parts = split(url);
  if (!parts) return `must look like ${FORM}`;
  const { authority, rest } = parts;
  const ambiguous = authority.split('@').length > 2 || /[@#]/.test(rest) || /[\s\\]/.test(url);
  if (ambiguous || !decodes(authority)) return ENCODE;
  try {
    const { searchParams } = parse(url);
    if (!/^\d{0,5}$/.test(searchParams.get('port') ?? '')) return 'has a port that is not a number';
    const mode = searchParams.get('sslmode');
    if (mode !== null && !SSL_MODES.includes(mode)) return `has an sslmode that is none of ${SSL_MODES.join(', ')}`;
    if (mode === 'verify-ca' && !searchParams.has('sslrootcert')) {
      return 'has sslmode=verify-ca, which needs sslrootcert=FILE; or use verify-full';
    }
  } catch {
    // A port that is not a number: or a password without its host.
    return `cannot be read; it must look like ${FORM}`;
  }
  return undefined;
}

/** @returns its parts; undefined where {@link problemOf} has something to say. */
export function readAddress(url: string): DatabaseAddress | undefined {
  if (problemOf(url) !== undefined) return undefined;
  const { username, password, hostname, port, pathname, searchParams } = parse(url);
  const given = (name: string, part: string) => searchParams.get(name) ?? (part === '' ? undefined : decoded(part));
  return {
    user: given('user', username),
    password: password !== '' || searchParams.has('password'),
    host: given('host', hostname === NO_HOST ? '' : hostname.replace(/^\[(.+)\]$/, '$1')) ?? '',
    port: given('port', port),
    database: decoded(pathname.slice(1)) || undefined,
    sslmode: searchParams.get('sslmode') ?? undefined,
  };
}

/** `postgres://user:***@host:5432/name`: what may be shown of it. */
export function showAddress(url: string): string {
  const parts = readAddress(url);
  if (!parts) return 'an address that cannot be read';
  const { host, port, database } = parts;
  const user = parts.user && `${parts.user}${parts.password ? ':***' : ''}@`;
  const where = host.includes(':') && !host.startsWith('/') ? `[${host}]` : host;
  return `postgres://${user ?? ''}${where}${port ? `:${port}` : ''}${database ? `/${database}` : ''}`;
}

/**
 * The address as `pg` should have it. Its own reading of `require` is PostgreSQL's `verify-full`, with a warning at
 * each start that this will change; here each mode means what PostgreSQL's documentation says of it.
 */
export function connectionString(url: string): string {
  const sslmode = readAddress(url)?.sslmode;
  if (sslmode === undefined || sslmode === 'no-verify' || url.includes('uselibpqcompat=')) return url;
  return `${url}&uselibpqcompat=true`;
}

const UNTRUSTED =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)|CERT_|ERR_TLS_CERT)/;

/**
 * The fault in the TLS of a connection that failed, and what to do, in one line; undefined: its failure was
 * another.
 */
export function tlsProblem(thrown: unknown): string | undefined {
  let error = thrown as { code?: unknown; message?: unknown; cause?: unknown } | null | undefined;
  // Not by `instanceof`: Node's own errors are of another realm wherever code runs in a context of its own.
  for (
    let depth = 0;
    typeof error === 'object' && error !== null && depth < 5;
    error = error.cause as typeof error, depth++
  ) {
    const code = String(error.code);
    if (String(error.message).includes('does not support SSL connections')) {
      return 'the server has no TLS; where the network is trusted, write sslmode=disable';
    }
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'the certificate of the server is for another host name';
    if (code === 'CERT_HAS_EXPIRED') return 'the certificate of the server has expired';
    if (UNTRUSTED.test(code)) {
      return (
        'the certificate of the server is not signed by an authority that is known here; ' +
        "name the file of the server's with sslrootcert=FILE"
      );
    }
    // Only where it was `pg` that read the address: other files are missed as well.
    if (code === 'ENOENT' && String((error as { stack?: unknown }).stack).includes('pg-connection-string')) {
      return 'the file of its sslrootcert, sslcert or sslkey cannot be read';
    }
  }
  return undefined;
}

function split(url: string): { authority: string; rest: string } | undefined {
  const match = /^postgres(?:ql)?:\/\/([^/?#]*)(.*)$/s.exec(url);
  return match ? { authority: match[1]!, rest: match[2]! } : undefined;
}

/**
 * As `pg` reads it: a user without a host, who comes by a socket (`postgres://user:password@/name?host=/folder`), is
 * not a URL yet.
 */
function parse(url: string): URL {
  return new URL(url.replace('@/', `@${NO_HOST}/`));
}

const NO_HOST = '___none___';

function decodes(text: string): boolean {
  try {
    return !/%(?![0-9a-f]{2})/i.test(text) && decodeURIComponent(text) !== '\0';
  } catch {
    return false;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
