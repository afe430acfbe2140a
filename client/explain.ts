/**
 * From any failure to words for a person: what the library's own errors say, and what those of its servers mean. Called
 * by the command line (`cli/errors.ts`) and by the HTTP API (`http/problems.ts`), so that both say the same.
 */
import { tlsProblem } from '../config/address';
import {
  CodecError,
  ConfigError,
  EncodingError,
  EnvironmentError,
  MetricsPortError,
  NameTakenError,
  SchemaError,
  WorkLeftBehindError,
} from '../config/errors';
import { errorMessage } from '../workflows/lib/text';
import { LongwatchError } from './errors';

export interface Explained {
  message: string;
  /** 2: it was used wrongly; 1: it failed. */
  status: 1 | 2;
  /** Only what is not understood shows where it came from, and only to who asks for it. */
  unexpected: boolean;
}

export function explain(thrown: unknown): Explained {
  // Anything can be thrown.
  const error: unknown = thrown ?? new Error(`${String(thrown)} was thrown`);
  if (error instanceof ConfigError) return known(error.message, 2);
  if (error instanceof EnvironmentError || error instanceof LongwatchError) {
    return known(error.message, error.usage ? 2 : 1);
  }
  if (
    error instanceof CodecError ||
    error instanceof SchemaError ||
    error instanceof EncodingError ||
    error instanceof NameTakenError ||
    error instanceof MetricsPortError ||
    error instanceof WorkLeftBehindError
  ) {
    return known(error.message, 1);
  }
  const message = errorMessage(error);
  const { code, type, syscall } = error as Record<'code' | 'type' | 'syscall', unknown>;
  // Errors that a worker meets before it works; the client's own connections translate this themselves.
  if (code === '42P01' || code === '42703' || code === '42883' || code === '3F000') {
    return known('the database has no (or an old) Longwatch schema; bring it up to date: npx longwatch migrate', 1);
  }
  if (code === '42501') return known(`${message}; what each role may do is in docs/security.md`, 1);
  if (type === 'ForeignDeployment') return known(message, 1);
  const tls = tlsProblem(error);
  if (tls !== undefined) return known(`the database cannot be used: ${tls}`, 1);
  if (
    type === 'StoreUnavailable' ||
    (typeof code === 'string' &&
      /^(ECONN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|28|3D|53|57P)/.test(code)) ||
    // The file of a socket.
    syscall === 'connect'
  ) {
    return known(`the database cannot be used: ${message || String(code)}; see DATABASE_URL or --database`, 1);
  }
  if (/Unknown encoding: /.test(message)) {
    return known(
      'payloads are encoded: name the module with the codec in LONGWATCH_DATA_CONVERTER (docs/security.md)',
      1,
    );
  }
  const namespace = namespaceNotFound(message);
  if (namespace !== undefined) {
    return known(
      `Temporal has no namespace '${namespace}': see TEMPORAL_NAMESPACE or --namespace, or make it with: ` +
        `temporal operator namespace create ${namespace}`,
      1,
    );
  }
  if (/Failed to connect|No connection established/.test(message)) {
    return known('Temporal does not answer; start it (npx longwatch dev), or see TEMPORAL_ADDRESS or --address', 1);
  }
  return { message: message || (typeof code === 'string' ? code : 'it failed'), status: 1, unexpected: true };
}

/** By the words of the client (`Namespace not found: 'x'`) and of the server (`Namespace x is not found.`). */
const namespaceNotFound = (message: string): string | undefined =>
  /Namespace not found: '([^']+)'/.exec(message)?.[1] ?? /Namespace (\S+) is not found/.exec(message)?.[1];

const known = (message: string, status: 1 | 2): Explained => ({ message, status, unexpected: false });
