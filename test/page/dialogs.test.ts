/**
 * The mishaps between a person and an action: an answer that is lost, a dialog that is closed too early, somebody
 * else who was there first. In a real browser, over answers as they are wanted.
 */
import type { Page } from 'playwright-core';
import type { Setting } from '../../client/settings';
import { eventually } from '../support/stack';
import { answerAll } from './support/answers';
import { Chromium, describeInBrowser } from './support/browser';
import { builtPage } from './support/built';
import { bucket, busy } from './support/samples';
import { LOST, Site, tagOf } from './support/site';

const built = builtPage();

describeInBrowser('a dialog', () => {
  let chromium: Chromium;
  let site: Site;
  beforeAll(async () => {
    chromium = await Chromium.launch();
  });
  afterAll(() => chromium.close());
  beforeEach(async () => {
    site = await new Site(built.folder, busy()).open();
    answerAll(site);
  });
  afterEach(() => site.close());

  const begin = async (page: Page, name: string): Promise<void> =>
    page.getByRole('button', { name, exact: true }).first().click();
  const submit = (page: Page): Promise<void> => page.getByRole('dialog').locator('button[type=submit]').click();
  const outcome = (page: Page, text: string | RegExp): Promise<void> =>
    page.locator('.outcome').getByText(text).first().waitFor();

  test('an answer that was lost is asked for again with the same key, and nobody is told that nothing was done', async () => {
    let isLost = true;
    site.answer('POST jobs/stamina/run', () => (isLost ? LOST : { rows: 20, ms: 12, failed: 0 }));
    const page = await chromium.open(`${site.url}#/jobs/stamina`, { expected: /ERR_/ });
    await begin(page, 'Run now: stamina');
    await submit(page);
    await page.getByRole('alert').getByText('It is not known whether it was done').waitFor();
    isLost = false;
    await submit(page);
    await outcome(page, '20 rows');
    const keys = site.sent.map(({ key }) => key);
    expect(keys.length).toBeGreaterThan(1);
    expect([...new Set(keys)]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
    // The next one is another tick.
    await begin(page, 'Run now: stamina');
    await submit(page);
    await outcome(page, '20 rows');
    expect(keys).not.toContain(site.sent.at(-1)!.key);
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('what was refused is said not to be done, and tried again it is another request', async () => {
    site.answer('POST trackers/characters/pause', () => {
      throw Object.assign(new Error('it is stopped'), { status: 409, code: 'TrackerStopped' });
    });
    const page = await chromium.open(`${site.url}#/trackers/characters`, { expected: /409/ });
    await begin(page, 'Pause characters');
    await submit(page);
    await page.getByRole('alert').getByText('It was not done: it is stopped').waitFor();
    await submit(page);
    await expectSent(2);
    expect(site.sent[1]!.key).not.toBe(site.sent[0]!.key);
    await page.close();
  });

  const expectSent = async (many: number): Promise<void> => {
    await eventually(`${many} commands`, () => site.sent.length >= many);
  };

  test('one that was closed while it goes on tells how it ended, and leaves the next one open', async () => {
    const waiting: ((error: Error) => void)[] = [];
    site.answer('POST jobs/stamina/run', () => new Promise((_, reject) => waiting.push(reject)));
    const page = await chromium.open(`${site.url}#/jobs/stamina`, { expected: /409/ });
    await begin(page, 'Run now: stamina');
    await submit(page);
    await expectSent(1);
    await page.getByRole('button', { name: 'Close; it goes on' }).click();
    await begin(page, 'Pause stamina');
    waiting[0]!(Object.assign(new Error('it was stopped'), { status: 409, code: 'JobStopped' }));
    await outcome(page, 'It was not done: it was stopped');
    expect(await page.getByRole('dialog').getByRole('heading').innerText()).toBe('Pause stamina');
    await page.close();
  });

  test('what somebody else has done already is not taken back', async () => {
    site.answer('POST trackers/characters/pause', () => ({ state: 'paused', changed: false }));
    const page = await chromium.open(`${site.url}#/trackers/characters`);
    await begin(page, 'Pause characters');
    await submit(page);
    await outcome(page, 'already paused');
    expect(await page.locator('.outcome').getByRole('button', { name: 'undo' }).count()).toBe(0);
    await page.close();
  });

  test('ids that are added may have been there before: adding them has no way back that deletes', async () => {
    site.answer('POST trackers/characters/members', () => ({ accepted: 2 }));
    const page = await chromium.open(`${site.url}#/trackers/characters`);
    await begin(page, 'Add members to characters');
    await page.getByRole('dialog').getByRole('textbox').first().fill('1\n2');
    // Data has no row of the log, so nobody is asked why.
    expect(await page.getByRole('dialog').getByLabel('why').count()).toBe(0);
    await submit(page);
    await outcome(page, '2 ids accepted');
    expect(await page.locator('.outcome').getByRole('button', { name: 'undo' }).count()).toBe(0);
    await page.close();
  });

  test('an option that somebody else sets meanwhile: the dialog says so, sets it on that, and goes back to that', async () => {
    const path = 'operations.location.every';
    let value: Partial<Setting> = { value: '1s', source: 'definition' };
    const settings = () => ({ items: [{ path, compiled: 1_000, ...value }], next: null });
    site.answer('GET trackers/characters/config', settings);
    site.answer('PATCH trackers/characters/config', () => ({ changed: true, version: 2 }));
    const page = await chromium.open(`${site.url}#/trackers/characters/options`);
    await begin(page, `Set ${path} of characters`);
    await page.getByRole('dialog').getByRole('textbox').first().fill('2s');
    await page.getByText('1s becomes 2s').waitFor();
    value = { value: '5s', source: 'set', configured: '1s' };
    await page.getByText('5s becomes 2s').waitFor();
    await submit(page);
    await outcome(page, 'is set');
    expect(site.sent[0]).toMatchObject({
      body: { changes: { [path]: '2s' } },
      match: tagOf(JSON.stringify(settings())),
    });
    value = { value: '2s', source: 'set', configured: '1s' };
    await page.locator('.outcome').getByRole('button', { name: 'undo' }).click();
    await page.getByText('2s becomes 5s').waitFor();
    await page.close();
  });

  test('the figures of a dry run are those of the fields as they are, and are asked for again', async () => {
    let chosen = 27;
    site.answer('POST buffers/mail/dead/retry', () => ({ chosen }));
    const page = await chromium.open(`${site.url}#/buffers/mail/dead`);
    await begin(page, "Retry the dead letters whose error is like 'SmtpError: # mailbox unavailable' of mail");
    await page.getByText('27 entries become pending again').waitFor();
    chosen = 1_204;
    await page.getByText('1,204 entries become pending again').waitFor();
    // A dry run needs no key: nothing is kept of it.
    expect(site.sent.every(({ key }) => key === undefined)).toBe(true);
    await page.close();
  });

  test('a bucket behind the first hundred, which the live state has not, is opened by what it is now', async () => {
    const closed = bucket('esi/group:zzz', { closedMs: 90_000, closedReason: 'the upstream answered 429' });
    site.answer('GET buckets', () => ({ items: [closed], next: null }));
    site.answer('GET buckets/', () => closed);
    site.answer('POST buckets/open', () => ({ items: [closed], next: null }));
    const page = await chromium.open(`${site.url}#/upstreams/esi`);
    await begin(page, 'Open esi/group:zzz');
    await page.getByRole('dialog').getByText('closed for another 2 min: the upstream answered 429').waitFor();
    await submit(page);
    await outcome(page, '1 bucket opened');
    await page.locator('.outcome').getByRole('button', { name: 'undo' }).click();
    expect(await page.getByRole('dialog').getByRole('textbox').first().inputValue()).toBe('90s');
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('a target that somebody else has changed since: the way back says so', async () => {
    site.answer('POST nodes/worker-1/target', () => ({ changed: true, ended: false }));
    const page = await chromium.open(`${site.url}#/nodes/worker-1`);
    await begin(page, 'Target of worker-1');
    await page.getByRole('dialog').getByLabel('pools at most').fill('60');
    await submit(page);
    await outcome(page, 'has its target');
    const [first, ...others] = site.state.cluster.nodes;
    site.tell({ cluster: { ...site.state.cluster, nodes: [{ ...first!, target: 10 }, ...others] } });
    await page.locator('.outcome').getByRole('button', { name: 'undo' }).click();
    await page.getByText('Its target is 10 now, and not 60: somebody has changed it since.').waitFor();
    expect(await page.getByRole('dialog').getByLabel('pools at most').inputValue()).toBe('share');
    await page.close();
  });

  test('the keyboard is where it was before the dialog', async () => {
    site.answer('POST trackers/characters/pause', () => ({ state: 'paused', changed: true }));
    const page = await chromium.open(`${site.url}#/trackers/characters`);
    const button = page.getByRole('button', { name: 'Pause characters' });
    await button.focus();
    await page.keyboard.press('Enter');
    await submit(page);
    await outcome(page, 'is paused');
    expect(await button.evaluate((element) => element === document.activeElement)).toBe(true);
    await page.close();
  });
});
