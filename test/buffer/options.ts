/** A buffer's options for the tests of this folder: small, so that each bound is soon reached. */
import type { BufferOptions } from '../../workflows/buffer/options';

export const OPTIONS: BufferOptions = {
  maxBatchSize: 5,
  flushIntervalMs: 50,
  maxConcurrency: 2,
  timeoutMs: 1_000,
  heartbeatTimeoutMs: 1_000,
  pollMs: null,
  bound: { entries: 20, bytes: 100_000 },
  capacity: 1_000_000,
  retry: { attempts: 3, baseMs: 10, capMs: 100 },
  ordered: false,
  shards: 1,
  historyEvents: 60,
  init: false,
  key: null,
  state: null,
};
