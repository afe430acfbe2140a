/**
 * Access tokens for operations. A character's token is refreshed by one caller while the others wait for it, at most
 * five refreshes run at once (the login server's limit), the new refresh token is stored before anything uses the
 * answer, and a token is given up only after three refusals. Called by `operations.ts`; keeps them in `token-store.ts`.
 */
import { HoldError, UpstreamError, type Upstream } from 'longwatch/upstream';
import type { StoredToken, TokenStore } from './token-store';

export interface TokenOptions {
  /** The login server. */
  sso: Upstream;
  store: TokenStore;
  clientId: string;
  /**
   * The code of a player who has just given permission, where no token is stored. Without it they must be stored by
   * hand.
   */
  codeOf?: (id: string) => string;
  /** After a refusal, or when the login server is away. @default 30 s */
  retryMs?: number;
  /** After a token was given up, the store is looked at again: the player may have logged in. @default 1 h */
  givenUpMs?: number;
}

export const REFRESHES_AT_ONCE = 5;
export const REFUSALS = 3;
const TOKEN_PATH = '/v2/oauth/token';
/** Refresh this long before the end, or a tenth of the life where that is shorter. */
const MARGIN_MS = 30_000;

interface TokenBody {
  access_token: string;
  refresh_token: string;
  expires_in: number;
}

interface Held {
  accessToken: string;
  freshUntil: number;
}

export class TokenBook {
  private readonly held = new Map<string, Held>();
  private readonly pending = new Map<string, Promise<string>>();
  private readonly failed = new Map<string, { until: number; error: HoldError }>();
  /** Got from the login server and not stored yet, because the store was away: the only copies there are. */
  private readonly unsaved = new Map<string, StoredToken>();
  private readonly lanes = new Lanes(REFRESHES_AT_ONCE);

  constructor(private readonly options: TokenOptions) {}

  /**
   * An access token that is good for a while. Never asks the login server twice for one character at the same time.
   * @param refused An access token that was answered with 401 although it should have been good.
   * @throws HoldError (scope member) while there is none to be had.
   */
  async access(id: string, refused?: string): Promise<string> {
    const held = this.held.get(id);
    if (held && held.accessToken !== refused && Date.now() < held.freshUntil) return held.accessToken;
    const failed = this.failed.get(id);
    if (failed) {
      const afterMs = failed.until - Date.now();
      if (afterMs > 0) throw memberHold(failed.error.message, afterMs, failed.error.cause);
      this.failed.delete(id);
    }
    let pending = this.pending.get(id);
    if (!pending) {
      pending = this.lanes.run((lane) => this.renew(id, lane, refused)).finally(() => this.pending.delete(id));
      this.pending.set(id, pending);
    }
    return pending;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.pending.values());
    await this.options.store.close();
  }

  private async renew(id: string, lane: number, refused: string | undefined): Promise<string> {
    this.held.delete(id);
    let token: StoredToken;
    try {
      token = await this.options.store.change(id, lane, (stored) => this.changed(id, stored, refused));
    } catch (error) {
      throw this.fail(
        id,
        error instanceof HoldError ? memberHold(error.message, error.afterMs, error) : this.away(id, error),
      );
    }
    // A token may be used once it is stored, and not a moment earlier.
    this.unsaved.delete(id);
    if (token.refusals > 0) throw this.fail(id, this.refusal(id, token.refusals));
    this.held.set(id, { accessToken: token.accessToken, freshUntil: token.freshUntil });
    return token.accessToken;
  }

  /** The token that should be stored now. Runs under the store's lock. */
  private async changed(
    id: string,
    stored: StoredToken | undefined,
    refused: string | undefined,
  ): Promise<StoredToken> {
    const known = this.unsaved.get(id) ?? stored;
    if (known && known.refusals >= REFUSALS) return known;
    // Another worker has refreshed it.
    if (known && known.refusals === 0 && known.accessToken !== refused && Date.now() < known.freshUntil) return known;
    const form = this.form(id, known);
    let body: Partial<TokenBody>;
    try {
      body = (await this.options.sso.post<TokenBody>(TOKEN_PATH, form, { timeoutMs: 10_000 })).body;
    } catch (error) {
      const isRefusal = error instanceof UpstreamError && (error.status === 400 || error.status === 401);
      if (!isRefusal || !known) throw error;
      return { ...known, refusals: known.refusals + 1 };
    }
    const { access_token: accessToken, refresh_token: refreshToken, expires_in: seconds } = body;
    if (!accessToken || !refreshToken || !seconds) throw new Error('the login server answered without a token');
    const lifeMs = seconds * 1_000;
    const freshUntil = Date.now() + lifeMs - Math.min(MARGIN_MS, lifeMs / 10);
    const token = { accessToken, refreshToken, freshUntil, refusals: 0 };
    this.unsaved.set(id, token);
    return token;
  }

  private form(id: string, known: StoredToken | undefined): URLSearchParams {
    const { clientId, codeOf } = this.options;
    if (known) {
      const refresh = { grant_type: 'refresh_token', refresh_token: known.refreshToken, client_id: clientId };
      return new URLSearchParams(refresh);
    }
    if (codeOf) return new URLSearchParams({ grant_type: 'authorization_code', code: codeOf(id), client_id: clientId });
    throw memberHold(`character ${id} has no token; store one in eve.token`, this.options.retryMs ?? 30_000);
  }

  private refusal(id: string, refusals: number): HoldError {
    const { retryMs = 30_000, givenUpMs = 3_600_000 } = this.options;
    return refusals < REFUSALS
      ? memberHold(`the token of character ${id} was refused (${refusals} of ${REFUSALS})`, retryMs)
      : memberHold(`the token of character ${id} was given up; the player has to log in again`, givenUpMs);
  }

  private away(id: string, error: unknown): HoldError {
    // Only the helper's messages are known to hold no secret; of others (a database's) the kind is enough.
    const reason = error instanceof UpstreamError ? error.message : `(${(error as Error).name})`;
    return memberHold(`no token for character ${id} just now: ${reason}`, this.options.retryMs ?? 30_000);
  }

  private fail(id: string, error: HoldError): HoldError {
    this.failed.set(id, { until: Date.now() + error.afterMs, error });
    return error;
  }
}

/** Without a token only this character has to wait. */
function memberHold(message: string, afterMs: number, cause?: unknown): HoldError {
  return new HoldError(message, { afterMs, scope: 'member', cause });
}

/** Numbered places; who finds none free waits in line. */
class Lanes {
  private readonly free: number[];
  private readonly waiting: ((lane: number) => void)[] = [];

  constructor(count: number) {
    this.free = Array.from({ length: count }, (_, lane) => lane);
  }

  async run<T>(work: (lane: number) => Promise<T>): Promise<T> {
    const lane = this.free.pop() ?? (await new Promise<number>((resolve) => this.waiting.push(resolve)));
    try {
      return await work(lane);
    } finally {
      const next = this.waiting.shift();
      if (next) next(lane);
      else this.free.push(lane);
    }
  }
}
