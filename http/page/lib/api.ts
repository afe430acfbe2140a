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

/** The headers of a failure that say what to do next. */
interface Hints {
  /** A 401: a token is what it wants, and not the login of the program that the dashboard is a part of. */
  wantsToken?: boolean;
  /** A 429, a 503: so long it is to be left alone. Milliseconds. */
  waitMs?: number;
}

export class Problem extends Error {
  constructor(
    /** 0: the server was not reached. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hints: Hints = {},
  ) {
    super(message);
  }
}

let onUnknown: () => void = () => undefined;

/** Told whenever the server does not know who asks: a token or a session has ended while the page was open. */
export function whenUnknown(listener: () => void): void {
  onUnknown = listener;
}

type Query = Record<string, string | number | boolean | undefined>;

/** Every part of a path is encoded: names are data. */
export function at(...parts: (string | number)[]): string {
  // Browsers take `.` and `..` for folders: the server takes the first `~` of a name off.
  return parts.map((part) => encodeURIComponent(String(part).replace(/^(~|\.\.?$)/, '~$1'))).join('/');
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return read<T>(await answerTo('GET', text ? `${path}?${text}` : path, { signal, withinMs: PATIENCE_MS }));
}

/**
 * All of a list, page after page, up to so many.
 * @returns whether that was all
 */
export async function getAll<T>(
  path: string,
  most: number,
  signal?: AbortSignal,
): Promise<{ items: T[]; isAll: boolean }> {
  const items: T[] = [];
  for (let after: string | undefined; ;) {
    const page: { items: T[]; next: string | null } = await get(path, { after }, signal);
    items.push(...page.items);
    if (page.next === null || items.length >= most) return { items, isAll: page.next === null };
    after = page.next;
  }
}

/** A list's value, with the tag by which a change can say what it was made of. */
export async function getTagged<T>(path: string, signal?: AbortSignal): Promise<{ value: T; tag: string | undefined }> {
  const response = await answerTo('GET', path, { signal, withinMs: PATIENCE_MS });
  return { value: await read<T>(response), tag: response.headers.get('etag') ?? undefined };
}

export interface Command {
  /** Sent twice with the same one, it is carried out once. None: a dry run, or what may be done twice. */
  key?: string;
  /** Only where nobody has changed it since: the tag that it was read with. */
  match?: string;
}

export async function send<T>(
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body: object = {},
  { key, match }: Command = {},
): Promise<T> {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    ...(key !== undefined && { 'idempotency-key': key }),
    ...(match !== undefined && { 'if-match': match }),
  };
  return read<T>(await answerTo(method, path, { body, headers, withinMs: COMMAND_MS }));
}

interface Question {
  body?: object;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  withinMs: number;
}

/** `session.ts` asks them, and looks at the answers itself. */
const SESSION_PATHS = new Set(['me', 'login', 'logout']);

async function answerTo(method: string, path: string, question: Question): Promise<Response> {
  const response = await fetched(method, path, question);
  // A program that the dashboard is a part of sends those whom it does not know to its login.
  const isSentAway = response.type === 'opaqueredirect';
  if ((isSentAway || response.status === 401) && !SESSION_PATHS.has(path)) onUnknown();
  if (isSentAway) throw new Problem(401, 'SentAway', 'the server wants a login');
  return response;
}

async function fetched(method: string, path: string, question: Question): Promise<Response> {
  const { body, signal, withinMs } = question;
  const limit = AbortSignal.timeout(withinMs);
  const headers = { accept: 'application/json', ...question.headers };
  try {
    return await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'manual',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    throw new Problem(0, late ? 'TimedOut' : 'Unreachable', late ? LATE : UNREACHABLE);
  }
}

async function read<T>(response: Response): Promise<T> {
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw problemOf(response, answer);
  if (answer === undefined) throw new Problem(0, 'NotUnderstood', FOREIGN);
  return answer as T;
}

const UNREACHABLE = 'the server of this page does not answer; it may have ended, or the network is down';
const LATE = 'no answer came in time';
/** An answer was cut off; or a proxy has answered with a page of its own. */
const FOREIGN = 'the answer cannot be read; a proxy may want a login: load the page again';

/** Whether it may have been done all the same: no answer came, or one that says so. */
export function mayBeDone(error: unknown): boolean {
  return !(error instanceof Problem) || error.status === 0 || error.status >= 500 || OPEN_ENDS.has(error.code);
}

/** Codes of the API: the first one goes on, or nobody knows how it ended. */
const OPEN_ENDS = new Set(['RequestGoesOn', 'RequestUnanswered']);

function problemOf({ status, headers }: Response, answer: unknown): Problem {
  const error = (answer as { error?: { code?: unknown; message?: unknown } } | undefined)?.error;
  const code = typeof error?.code === 'string' ? error.code : `Http${status}`;
  const message = typeof error?.message === 'string' ? error.message : `the server answered ${status}`;
  const wait = Number(headers.get('retry-after') ?? NaN);
  return new Problem(status, code, message, {
    wantsToken: headers.has('www-authenticate'),
    waitMs: wait > 0 ? wait * 1_000 : undefined,
  });
}

/** `crypto.randomUUID` is for pages that came by https or from the own machine only. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
