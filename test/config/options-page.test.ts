/** `docs/options.md` is what the tables say. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { renderOptions } from '../../config/options-page';
import { CHUNK_OPTIONS, JOB_OPTIONS, SWEEP_OPTIONS } from '../../workflows/job/options';
import { GATE_OPTIONS, OPERATION_OPTIONS, RECEIVE_OPTIONS, TRACKER_OPTIONS } from '../../workflows/tracker/options';
import { LIMIT_OPTIONS, UPSTREAM_OPTIONS } from '../../workflows/upstream/options';

test('the page in docs is the one that would be written now', () => {
  expect(readFileSync(path.join(__dirname, '../../docs/options.md'), 'utf8')).toBe(renderOptions());
});

test('every option is on it', () => {
  const page = renderOptions();
  for (const { name } of [
    ...TRACKER_OPTIONS,
    ...GATE_OPTIONS,
    ...RECEIVE_OPTIONS,
    ...OPERATION_OPTIONS,
    ...JOB_OPTIONS,
    ...CHUNK_OPTIONS,
    ...SWEEP_OPTIONS,
    ...UPSTREAM_OPTIONS,
    ...LIMIT_OPTIONS,
  ])
    expect(page).toContain(`| \`${name}\` |`);
});
