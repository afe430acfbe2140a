/** `longwatch dev` starts what a config declares: one that is refused keeps no other from its start. */
import { startDeclared } from '../../cli/declared';
import { RefusedError, TemporalUnavailableError } from '../../client/errors';
import type { Longwatch } from '../../client/longwatch';
import { defineBuffer, defineRegen, defineTracker, resolveConfig } from '../../exports';

const config = resolveConfig({
  trackers: [defineTracker({ name: 'things', operations: { look: { every: '1m', run: () => ({ value: 1 }) } } })],
  regens: [defineRegen({ name: 'stamina', every: '5m', table: 'player', set: { stamina: 'stamina + 1' } })],
  buffers: [defineBuffer({ name: 'blocks', run: () => undefined })],
});

/** A client by which each thing starts, but for those that throw. */
function client(thrown: Record<string, Error>): Longwatch {
  const unit = (name: string) => ({
    name,
    start: () => (thrown[name] ? Promise.reject(thrown[name]) : Promise.resolve({ state: 'running', differs: false })),
    status: () => Promise.resolve({ state: 'running', members: 0 }),
    list: () => [],
  });
  const none = (): Promise<string[]> => Promise.resolve([]);
  const all = { tracker: unit, job: unit, buffer: unit, trackers: none, jobs: none, bufferNames: none };
  return all as unknown as Longwatch;
}

const start = (thrown: Record<string, Error>) =>
  startDeclared(client(thrown), { config, file: 'longwatch.config.ts' } as never, new AbortController().signal);

let said = '';
beforeEach(() => {
  said = '';
  jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((said += String(text)), true));
});
afterEach(() => jest.restoreAllMocks());

test('a job whose table is not there is named, with what to do; all others start', async () => {
  const error = 'table: there is no table player';
  expect(await start({ stamina: new RefusedError(error) })).toEqual({
    trackers: [{ name: 'things', state: 'running', members: 0, example: undefined }],
    buffers: ['blocks'],
    refused: [{ name: 'stamina', error }],
  });
  expect(said).toBe(`'stamina' is not started: ${error}. Mend that, then: npx longwatch start stamina\n`);
});

test.each(['things', 'blocks'])('so does a refusal of %s', async (name) => {
  expect(await start({ [name]: new RefusedError('no') })).toMatchObject({ refused: [{ name, error: 'no' }] });
});

test('whatever is not the fault of a definition ends the start', async () => {
  await expect(start({ stamina: new TemporalUnavailableError('127.0.0.1:7233') })).rejects.toThrow(
    TemporalUnavailableError,
  );
});
