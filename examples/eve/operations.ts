/**
 * The work of the tracker `characters` on one character: each function is an operation's `run`. They ask the upstream
 * with the stored value's ETag and hand back what it says, its Expires included; `longwatch.config.ts` says how often.
 */
import type { Json, RunContext, RunResult } from 'longwatch';
import { HoldError, UpstreamError, type Answer, type RequestOptions } from 'longwatch/upstream';
import type { EveConnection } from './connection';

/** The things that this process knows of a character; the offline check goes by it. */
interface Belief {
  online: boolean;
  /** When its location last changed or was first seen, epoch ms. */
  movedAt: number;
  /** The last answer of the online route, for two operations ask it and neither may before it expires. */
  answer?: { value: Json; etag?: string; expiresAt?: number };
}

/** A character that is believed to be online and has not moved for this long is asked about. */
export const QUIET_MS = 5 * 60_000;

/** The parts of a run's context that the operations use. */
export type EveContext = Pick<RunContext, 'id' | 'etag' | 'signal'>;

export class EveOperations {
  private readonly beliefs = new Map<string, Belief>();
  private status: { open: boolean; expiresAt: number } | undefined;

  /** @param connection is called at each run: the first one makes it. */
  constructor(private readonly connection: () => EveConnection) {}

  // Arrow functions, for the config hands them over one by one.

  readonly location = async (context: EveContext): Promise<RunResult> => {
    const answer = await this.own(context, 'location', context.etag);
    const belief = this.beliefs.get(context.id);
    if (!belief) this.beliefs.set(context.id, { online: false, movedAt: Date.now() });
    else if (!answer.notModified) belief.movedAt = Date.now();
    return resultOf(answer);
  };

  readonly ship = async (context: EveContext): Promise<RunResult> =>
    resultOf(await this.own(context, 'ship', context.etag));

  readonly wallet = async (context: EveContext): Promise<RunResult> =>
    resultOf(await this.own(context, 'wallet', context.etag));

  /** Public: no token. */
  readonly info = async (context: EveContext): Promise<RunResult> => {
    const { etag, signal } = context;
    const path = `/characters/${characterId(context.id)}/`;
    return resultOf(await this.connection().upstream.get(path, { etag, signal }));
  };

  /** Public, and of the new limiter: all characters spend from one bucket of the address. */
  readonly portrait = async ({ id, etag, signal }: EveContext): Promise<RunResult> =>
    resultOf(await this.connection().upstream.get(`/characters/${characterId(id)}/portrait/`, { etag, signal }));

  readonly online = async (context: EveContext): Promise<RunResult> => {
    const { value, etag, expiresAt } = await this.askOnline(context);
    return { value, etag, expiresAt };
  };

  /** In place of `online` while the gate is closed: nobody is online on a server that is down. */
  readonly everyoneOffline = (context: EveContext): RunResult => {
    this.beliefs.delete(context.id);
    return { value: { online: false } };
  };

  /**
   * The offline check is a net below `online`, which the gate stops and which may fail for one character for a long
   * time: who is believed to be online but has not moved for five minutes, or of whom nothing is known, is asked about;
   * where the upstream cannot say, the character counts as offline, unconfirmed. It is not gated, so it goes on while
   * the server is down, and it costs nothing while `online` works: its last answer holds until it expires.
   */
  readonly offlineCheck = async (context: EveContext): Promise<RunResult> => {
    const belief = this.beliefs.get(context.id);
    const moving = belief !== undefined && belief.online && Date.now() - belief.movedAt < QUIET_MS;
    if (moving) return { value: { online: true, confirmed: true } };
    try {
      const { online } = await this.askOnline(context);
      return { value: { online, confirmed: true } };
    } catch (error) {
      if (error instanceof HoldError || (error instanceof UpstreamError && !error.retryable)) throw error;
      return { value: { online: false, confirmed: false } };
    }
  };

  /** The gate: closed while the server is down or lets only staff in. Asked again not before the answer expires. */
  readonly serverIsOpen = async ({ signal }: { signal: AbortSignal }): Promise<boolean> => {
    if (this.status && Date.now() < this.status.expiresAt) return this.status.open;
    try {
      const answer = await this.connection().upstream.get<{ vip?: boolean }>('/status/', { signal });
      this.status = { open: answer.body?.vip !== true, expiresAt: answer.expiresAt ?? 0 };
      return this.status.open;
    } catch (error) {
      this.status = undefined;
      // A server that says it is down is down. A hang or a broken connection proves nothing: the gate counts those
      // itself.
      if (error instanceof UpstreamError && error.status >= 500) return false;
      throw error;
    }
  };

  private async askOnline(
    context: EveContext,
  ): Promise<{ online: boolean; value: Json; etag?: string; expiresAt?: number }> {
    const before = this.beliefs.get(context.id);
    const known = before?.answer;
    if (known && Date.now() < (known.expiresAt ?? 0)) return { ...known, online: before.online };
    // The ETag of our own answer, not the stored one: without the body a 304 would not say who is online.
    const got = await this.own(context, 'online', known?.etag);
    const value = got.notModified && known ? known.value : (got.body ?? null);
    const online = (value as { online?: boolean } | null)?.online === true;
    const answer = { value, etag: got.etag ?? known?.etag, expiresAt: got.expiresAt };
    const now = this.beliefs.get(context.id);
    // A character that has just come online counts as moving.
    const movedAt = now && (now.online || !online) ? now.movedAt : Date.now();
    this.beliefs.set(context.id, { online, movedAt, answer });
    return { ...answer, online };
  }

  /** One of the routes that belong to the character. A token that ended early is replaced once. */
  private async own(context: EveContext, route: string, etag: string | undefined): Promise<Answer<Json | undefined>> {
    const { upstream, tokens } = this.connection();
    const path = `/characters/${characterId(context.id)}/${route}/`;
    const token = await tokens.access(context.id);
    try {
      return await upstream.get(path, withToken(token, etag, context.signal));
    } catch (error) {
      if (!(error instanceof UpstreamError) || error.status !== 401) throw error;
      const fresh = await tokens.access(context.id, token);
      return upstream.get(path, withToken(fresh, etag, context.signal));
    }
  }
}

function withToken(token: string, etag: string | undefined, signal: AbortSignal): RequestOptions {
  return { etag, signal, headers: { authorization: `Bearer ${token}` } };
}

/** A member's id goes into a path: nothing but digits may. */
function characterId(id: string): string {
  if (!/^\d{1,10}$/.test(id)) throw new Error(`${JSON.stringify(id.slice(0, 50))} is not a character's id`);
  return id;
}

function resultOf(answer: Answer<Json | undefined>): RunResult {
  const { etag, expiresAt } = answer;
  return answer.notModified ? { unchanged: true, etag, expiresAt } : { value: answer.body ?? null, etag, expiresAt };
}
