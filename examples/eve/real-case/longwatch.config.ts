/**
 * The tracker of the real case: wallets are wanted more often than their bucket allows, and public information of which
 * some is refused for good. Loaded by the workers that `main.ts` starts.
 */
import { defineConfig, defineTracker } from 'longwatch';
import { connectEve, esi, login } from '../connection';
import { EveOperations } from '../operations';
import { readSettings } from '../settings';
import { MemoryTokenStore, type StoredToken } from '../token-store';

const FIRST_LIFE = { leastMs: 60_000, mostMs: 7_200_000 };

/** As in a tracker that has run for long: everybody has a token, and those end one after another. */
class FirstTokens extends MemoryTokenStore {
  override change(...[id, lane, change]: Parameters<MemoryTokenStore['change']>): Promise<StoredToken> {
    if (!this.tokens.has(id)) {
      const freshUntil = Date.now() + FIRST_LIFE.leastMs + Math.random() * (FIRST_LIFE.mostMs - FIRST_LIFE.leastMs);
      this.tokens.set(id, { accessToken: `first-${id}`, refreshToken: `first-${id}`, freshUntil, refusals: 0 });
    }
    return super.change(id, lane, change);
  }
}

const connection = connectEve(readSettings(), { store: new FirstTokens() });
const operations = new EveOperations(() => connection);

const characters = defineTracker({
  name: 'characters',
  poolSize: 500,
  gate: { every: '30s', upstream: esi, check: operations.serverIsOpen },
  operations: {
    // 180 tokens in a quarter of an hour, of a bucket of 150 (or half of that).
    wallet: { every: '10s', concurrency: 100, timeout: '30s', upstream: esi, run: operations.wallet },
    location: { every: '30s', concurrency: 50, timeout: '30s', upstream: esi, run: operations.location },
    // 2,000 tokens in a quarter of an hour for all characters together, which is a tenth of what is wanted.
    portrait: { every: '10m', concurrency: 20, timeout: '30s', upstream: esi, run: operations.portrait },
    // Never less often: each of those who are refused costs an error a minute.
    info: { every: '1m', concurrency: 50, timeout: '30s', maxBackoff: 0, upstream: esi, run: operations.info },
  },
});

// The login server is asked within the runs of operations that name another upstream.
export default defineConfig({ trackers: [characters], upstreams: [login] });
