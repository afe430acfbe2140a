/**
 * The example: characters of EVE Online on six cadences. Run it with `npm start`. By default against an upstream of the
 * example's own; `EVE_UPSTREAM=https://esi.evetech.net` points it at the real one, `EVE_WALLET=1` turns wallets on.
 */
import { availableParallelism } from 'node:os';
import { defineConfig, defineTracker } from 'longwatch';
import { esi, eve, login } from './connection';
import { EveOperations } from './operations';

export { dev } from './dev';

const cores = availableParallelism();
const operations = new EveOperations(eve);

const characters = defineTracker({
  name: 'characters',
  poolSize: 500,
  gate: { every: '30s', upstream: esi, check: operations.serverIsOpen },
  operations: {
    location: {
      every: '1s',
      concurrency: cores * 12,
      timeout: '5s',
      stagger: { base: '300ms', window: '500ms' },
      upstream: esi,
      run: operations.location,
    },
    ship: {
      every: '2s',
      concurrency: cores * 2,
      timeout: '5s',
      stagger: { base: '500ms', window: '10s' },
      skipWhile: { operation: 'location', slowerThan: '1s' },
      upstream: esi,
      run: operations.ship,
    },
    online: {
      every: '30s',
      concurrency: cores * 2,
      timeout: '5s',
      stagger: { base: '100ms', window: '10s' },
      upstream: esi,
      run: operations.online,
      whenClosed: operations.everyoneOffline,
    },
    info: {
      every: '2m',
      concurrency: cores * 2,
      timeout: '15s',
      stagger: { base: '1.5s', window: '60s' },
      skipWhile: { operation: 'location', slowerThan: '1.5s' },
      upstream: esi,
      run: operations.info,
    },
    wallet: {
      every: '10m',
      concurrency: cores * 2,
      timeout: '5m',
      stagger: { base: '1s', window: '120s' },
      enabled: process.env.EVE_WALLET === '1',
      upstream: esi,
      run: operations.wallet,
    },
    offlineCheck: {
      every: '5m',
      concurrency: cores * 2,
      timeout: '15s',
      // The first one after its interval.
      stagger: { base: '5m', window: '10s' },
      gated: false,
      upstream: esi,
      run: operations.offlineCheck,
    },
  },
});

// The login server is asked within the runs of operations that name another upstream.
export default defineConfig({ trackers: [characters], upstreams: [login] });
