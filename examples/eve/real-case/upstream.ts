/**
 * The upstream of the real case: ESI's two limiters as `examples/upstreams` has them (each spend counted exactly,
 * windows that begin at a random time), some characters whose information is refused, and a login server that takes two
 * seconds for a refresh and five of them at once.
 */
import { Esi, type EsiOptions } from '../../upstreams/esi';
import type { Answered, Asked } from '../../upstreams/server';

export const FIRST_CHARACTER = 90_000_001;
const REFRESH_SECONDS = 2;
export const REFRESHES_AT_ONCE = 5;
/** Access tokens last so long, seconds: some end while the case runs. */
const LIFE = { least: 600, most: 7_200 };

export class RealCaseUpstream extends Esi {
  readonly logins = { refreshes: 0, atOnce: 0, mostAtOnce: 0, refused: 0 };

  constructor(
    /** The first so many characters are refused. */
    private readonly revoked: number,
    options: EsiOptions,
  ) {
    super(options);
  }

  override answer(asked: Asked): Answered {
    if (asked.path === '/v2/oauth/token') return this.token();
    const id = Number(/^\/characters\/(\d{1,15})\/$/.exec(asked.path)?.[1] ?? 0);
    if (id >= FIRST_CHARACTER && id < FIRST_CHARACTER + this.revoked) asked.query.set('status', '403');
    return super.answer(asked);
  }

  override done(asked: Asked, answered: Answered): void {
    if (asked.path === '/v2/oauth/token' && answered.status === 200) this.logins.atOnce--;
  }

  private token(): Answered {
    const { logins } = this;
    if (logins.atOnce >= REFRESHES_AT_ONCE) {
      logins.refused++;
      return { status: 500, body: { error: 'server_error' } };
    }
    logins.mostAtOnce = Math.max(logins.mostAtOnce, ++logins.atOnce);
    logins.refreshes++;
    return {
      status: 200,
      takes: REFRESH_SECONDS,
      body: {
        access_token: `token-${Math.floor(this.random() * 1e12)}`,
        refresh_token: `refresh-${Math.floor(this.random() * 1e12)}`,
        expires_in: Math.round(LIFE.least + this.random() * (LIFE.most - LIFE.least)),
      },
    };
  }
}
