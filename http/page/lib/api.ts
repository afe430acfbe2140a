/**
 * Asks the server: every path is relative to the page, so that it works under any prefix. A failure leaves as a
 * `Problem` with the words of the library. The shapes are those that `client/` returns. Used by `live.ts`, the pages
 * and the actions.
 */
const BASE = 'api/v1/';
/** A list that takes longer is not waited for. Milliseconds. */
const PATIENCE_MS = 30_000;
/** A command waits for workers, and may move a thousand pools. */
const COMMAND_MS = 150_000;

export class Problem extends Error {
  constructor(
    /** 0: the server was not reached. */
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

type Query = Record<string, string | number | boolean | undefined>;

/** Every part of a path is encoded: names are data. */
export function at(...parts: (string | number)[]): string {
  return parts.map((part) => encodeURIComponent(part)).join('/');
}

export function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return ask<T>('GET', text ? `${path}?${text}` : path, undefined, signal, PATIENCE_MS);
}

/** A command. Sent twice with the same key, it is carried out once. */
export function send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body: object = {}): Promise<T> {
  return ask<T>(method, path, body, undefined, COMMAND_MS);
}

async function ask<T>(
  method: string,
  path: string,
  body: object | undefined,
  signal: AbortSignal | undefined,
  withinMs: number,
): Promise<T> {
  const limit = AbortSignal.timeout(withinMs);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (body !== undefined) {
    headers['content-type'] = 'application/json';
    headers['idempotency-key'] = randomKey();
  }
  let response: Response;
  try {
    response = await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials: 'same-origin',
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    throw new Problem(0, late ? 'TimedOut' : 'Unreachable', late ? LATE : UNREACHABLE);
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return answer as T;
  throw problemOf(response.status, answer);
}

const UNREACHABLE = 'the server of this page does not answer; it may have ended, or the network is down';
const LATE = 'no answer came in time; it may have been done: look at the log';

function problemOf(status: number, answer: unknown): Problem {
  const error = (answer as { error?: { code?: unknown; message?: unknown } } | undefined)?.error;
  const code = typeof error?.code === 'string' ? error.code : `Http${status}`;
  const message = typeof error?.message === 'string' ? error.message : `the server answered ${status}`;
  return new Problem(status, code, message);
}

/** `crypto.randomUUID` is for pages that came by https or from the own machine only. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
