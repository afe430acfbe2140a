/** The page's shell and its overview in a real browser, over states as they are wanted: `support/site.ts`. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { eventually } from '../support/stack';
import { answerAll } from './support/answers';
import { Chromium, describeInBrowser, overflows, violations } from './support/browser';
import { builtPage } from './support/built';
import { buffer, busy, cluster, MOMENT, node, nothing, operation, series, tracker } from './support/samples';
import { Site } from './support/site';

const built = builtPage();

test('the page is 60 KB at most on its way, all of it', () => {
  const sizes = readdirSync(built.folder).map((file) => gzipSync(readFileSync(path.join(built.folder, file))).length);
  expect(readdirSync(built.folder).sort()).toEqual(['app.css', 'app.js', 'index.html']);
  expect(sizes.reduce((all, size) => all + size, 0)).toBeLessThanOrEqual(60 * 1024);
});

test('the page has no script and no style in its markup, and nothing of another address', () => {
  const html = readFileSync(path.join(built.folder, 'index.html'), 'utf8');
  expect(html).not.toMatch(/<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?:/);
});

/** Names that somebody may give their things. */
const NASTY = [
  '<script>document.title="had"</script>',
  '"><img src=x onerror=alert(1)>',
  '\u202Egnp.exe\u202C',
  'שלום עולם',
  '🛰️🛰️🛰️',
  'x'.repeat(10_240),
  'a\u0000b\u001b[31mred',
];

describeInBrowser('the overview', () => {
  let chromium: Chromium;
  let site: Site;
  beforeAll(async () => {
    chromium = await Chromium.launch();
    site = await new Site(built.folder, busy()).open();
    answerAll(site);
  });
  afterAll(async () => {
    await chromium.close();
    await site.close();
  });
  beforeEach(() => (site.state = busy()));

  test('says what is wrong first, the worst at the top', async () => {
    const page = await chromium.open(site.url);
    await page.getByRole('heading', { name: '2 problems, 3 notices' }).waitFor();
    const findings = await page.locator('.findings li').allInnerTexts();
    expect(findings[0]).toContain('pool 17 of characters is in quarantine');
    expect(findings.map((text) => /Problem|Notice/.exec(text)?.[0])).toEqual([
      'Problem',
      'Problem',
      'Notice',
      'Notice',
      'Notice',
    ]);
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('says of nothing what to do next', async () => {
    site.state = nothing();
    const page = await chromium.open(site.url);
    await page.getByRole('heading', { name: 'Nothing is wrong' }).waitFor();
    for (const text of ['Nothing is tracked yet', 'There is no buffer', 'There is no job', 'No worker runs'])
      expect(await page.getByText(text).count()).toBe(1);
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  test('follows the stream', async () => {
    const page = await chromium.open(site.url);
    await page.getByText('100,000 members').waitFor();
    const [first, second] = site.state.status.trackers;
    site.tell({ status: { ...site.state.status, trackers: [{ ...first!, members: 100_001 }, second!] } });
    await page.getByText('100,001 members').waitFor();
    await page.close();
  });

  test('a line of the overview begins with what was, asked for once by the names of all', async () => {
    const asked: string[][] = [];
    site.answer('GET history/operation', ({ path: of }) => {
      const query = new URLSearchParams(of.split('?')[1]);
      expect([...query.keys()].sort()).toEqual(['figures', 'limit', 'names', 'step']);
      const names = JSON.parse(query.get('names')!) as string[];
      expect(Number(query.get('limit'))).toBe(names.length);
      asked.push(names);
      return { items: names.slice(0, 2).map((name) => series('operation', name)), next: null };
    });
    // A page that has just begun has seen nothing itself.
    const page = await chromium.open(site.url, { now: MOMENT });
    const lines = page.locator('article.tracker').first().locator('svg.spark path');
    await eventually('two lines', async () => (await lines.count()) === 2);
    expect((await lines.first().getAttribute('d'))!.split('L').length).toBeGreaterThan(40);
    expect(asked).toEqual([
      ['location', 'online', 'wallet', 'assets']
        .map((name) => `characters/${name}`)
        .concat(['location', 'wallet'].map((name) => `corporations/${name}`)),
    ]);
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('names are data: nothing of them is run, and nothing of them breaks the page', async () => {
    const state = nothing();
    state.status.trackers = NASTY.map((name) => tracker(name, { operations: [operation(name)] }));
    state.status.buffers = NASTY.map((name) => buffer(name));
    state.cluster = cluster(NASTY.map((name) => node(name, { verdict: { level: 'bad', word: 'bad', text: name } })));
    state.doctor = {
      findings: NASTY.map((what) => ({ check: 'x', severity: 'problem', what, next: what })),
      unknown: [],
      checked: 1,
    };
    site.state = state;
    const page = await chromium.open(site.url, { width: 390 });
    await page.getByRole('heading', { name: `${NASTY.length} problems` }).waitFor();
    expect(await page.title()).toBe('Overview · Longwatch');
    expect(await page.locator('main script, main img').count()).toBe(0);
    expect(await overflows(page)).toBe(false);
    // A mark that turns the direction round is shown as what it is.
    expect(await page.locator('main').innerText()).toContain('\\u202egnp.exe');
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test.each(['light', 'dark'] as const)('axe finds nothing, and nothing is cut off: %s', async (theme) => {
    for (const width of [1_280, 390]) {
      const page = await chromium.open(site.url, { theme, width });
      await page.getByRole('heading', { name: '2 problems' }).waitFor();
      expect(await violations(page)).toEqual([]);
      expect(await overflows(page)).toBe(false);
      expect(page.wrong).toEqual([]);
      await page.close();
    }
  });

  test('the theme is the reader’s, and stays', async () => {
    const page = await chromium.open(site.url, { theme: 'light' });
    const ground = () => page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
    const light = await ground();
    const button = page.getByRole('button', { name: /^Theme/ });
    await button.click();
    await button.click();
    const dark = await ground();
    expect(dark).not.toBe(light);
    await page.reload();
    expect(await ground()).toBe(dark);
    await page.close();
  });

  test('a server that is gone is said, with the age of the figures; when it is back, the figures are new', async () => {
    const page = await chromium.open(site.url, { expected: /ERR_|Failed to load|net::/ });
    await page.getByText('live', { exact: true }).waitFor();
    await site.close();
    await page.getByRole('alert').getByText('does not answer').waitFor();
    site.state = { ...busy(), status: { ...busy().status, trackers: [tracker('newcomer')] } };
    await site.open();
    await page.getByRole('link', { name: 'newcomer' }).waitFor();
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.close();
  });
});
