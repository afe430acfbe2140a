/** Regens, sweeps and decays as a config has them: defaults, bounds, and what is refused. */
import { defineConfig, resolveConfig } from '../../exports';
import type { ConfigError } from '../../config/errors';

const regen = { name: 'stamina', every: '5m', table: 'game.player', set: { stamina: 'stamina + 1' } };
const problems = (config: object): readonly string[] => {
  try {
    resolveConfig(config);
    return [];
  } catch (error) {
    return (error as ConfigError).problems;
  }
};

test('a few lines are enough, and the rest has defaults', () => {
  const [job] = resolveConfig(defineConfig({ regens: [regen] })).jobs;
  expect(job!.options).toEqual({
    kind: 'regen',
    work: { kind: 'regen', table: { schema: 'game', name: 'player' }, set: { stamina: 'stamina + 1' } },
    schedule: { everyMs: 300_000 },
    missed: 'once',
    warnAfterMs: 5_000,
    heartbeatTimeoutMs: 5_000,
    historyEvents: 2_000,
    keep: 1_000,
    concurrency: 2,
    chunk: 'auto',
    pace: 'yield',
    page: 100,
    timeoutMs: 0,
    retry: { attempts: 1, baseMs: 1_000, capMs: 1_000, jitter: true, backoff: 'exponential' },
    sources: { 'schedule.everyMs': 'definition' },
  });
});

test('defaults lie under each definition, retry option by option', () => {
  const config = {
    defaults: { sweep: { page: 7, every: '1s', retry: { attempts: 9, base: '2s' } }, regen: { missed: 3 } },
    regens: [regen],
    sweeps: [{ name: 'combats', cron: '*/5 * * * *', timeZone: 'Europe/Berlin', table: 'combat', due: 'true', retry: { base: '3s' }, handle: () => undefined }],
  }; // prettier-ignore
  const [stamina, combats] = resolveConfig(config).jobs;
  expect(stamina!.options.missed).toBe(3);
  expect(combats!.options).toMatchObject({
    page: 7,
    schedule: { cron: '*/5 * * * *', timeZone: 'Europe/Berlin' },
    retry: { attempts: 9, baseMs: 3_000 },
  });
  expect(combats!.handle).toBe(config.sweeps[0]!.handle);
});

test.each<[object, RegExp]>([
  [{ regens: [{ ...regen, evry: '1s' }] }, /regens\.stamina\.evry is not an option; did you mean 'every'/],
  [{ regens: [{ ...regen, every: undefined }] }, /every is required/],
  [{ regens: [{ ...regen, cron: '* * * * *' }] }, /every and cron: one of them only/],
  [{ regens: [{ ...regen, every: undefined, cron: 'at noon' }] }, /cron: 'at noon' in UTC/],
  [{ regens: [{ ...regen, every: undefined, cron: '0 4 * * *', timeZone: 'Mars/Olympus' }] }, /Mars\/Olympus/],
  [{ regens: [{ ...regen, timeZone: 'UTC' }] }, /timeZone belongs to a cron/],
  [{ regens: [{ ...regen, missed: 'each' }] }, /missed must be a whole number, or 'skip', or 'once'/],
  [{ regens: [{ ...regen, chunk: 0 }] }, /chunk must be at least 1/],
  [{ regens: [{ ...regen, sql: 'update x' }] }, /needs one of set, rule and sql, and has set and sql/],
  [{ regens: [{ ...regen, set: {} }] }, /at least one column/],
  [{ regens: [{ ...regen, set: { a: 1 } }] }, /set\.a must be SQL/],
  [{ regens: [{ ...regen, where: 'a\0b' }] }, /where must be SQL/],
  [{ regens: [{ ...regen, table: 'a.b.c' }] }, /table must be a table/],
  [{ regens: [regen, regen] }, /another tracker, buffer or job named 'stamina'/],
  [{ regens: [regen], buffers: [{ name: 'stamina', run: () => undefined }] }, /^regens.*another .* named 'stamina'/m],
  [
    { trackers: [{ name: 'x', operations: {} }], buffers: [{ name: 'x', run: () => undefined }] },
    /^buffers\.x: there is another tracker, buffer or job named 'x'/m,
  ],
  [{ regens: [{ ...regen, name: 'Not a name' }] }, /must be a name/],
  [{ regens: [{ ...regen, page: 5 }] }, /page is not an option/],
  [{ sweeps: [{ name: 's', every: '1s', table: 't', due: 'true' }] }, /handle must be a function/],
  [{ decays: [{ name: 'd', every: '1s', table: 't' }] }, /where must be SQL/],
  [{ regenz: [] }, /did you mean 'regens'/],
  [{ regens: [regen], defaults: { regen: { chnk: 1 } } }, /defaults\.regen\.chnk is not an option; did you mean 'chunk'/],
])('%j', (config, words) => {
  expect(problems(config).join('\n')).toMatch(words);
}); // prettier-ignore
