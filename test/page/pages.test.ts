/**
 * Every page of the dashboard in a real browser: with none, one and very many of its things, in both themes and both
 * widths, held against axe and against its own width; and names that are not nice.
 */
import type { Page } from 'playwright-core';
import type { State } from '../../http/page/lib/state';
import { eventually } from '../support/stack';
import { answerAll } from './support/answers';
import { Chromium, describeInBrowser, overflows, violations } from './support/browser';
import { builtPage } from './support/built';
import { bucket, buffer, busy, cluster, job, MOMENT, node, nothing, tracker } from './support/samples';
import { Site } from './support/site';

/** Each page, and a text that is there once it has its things. */
const PAGES: [string, Record<'none' | 'one' | 'many', string>][] = [
  ['#/', { none: 'Nothing is tracked yet', one: 'characters', many: '1,000' }],
  ['#/trackers', { none: 'Nothing is tracked yet', one: 'characters', many: '50 of 1,000 shown' }],
  ['#/trackers/characters', { none: 'There is no tracker', one: 'oldest', many: '2,000 of 2,000 pools' }],
  ['#/trackers/characters/members', { none: 'There is no tracker', one: '2112000000', many: '50 of 100,000 shown' }],
  ['#/trackers/characters/members/2112000000', { none: 'There is no tracker', one: 'next run', many: 'next run' }],
  ['#/trackers/characters/mail', { none: 'There is no tracker', one: '4711', many: '100 of 100,000 shown' }],
  ['#/trackers/characters/mail/4711', { none: 'There is no tracker', one: 'Message', many: 'Message' }],
  ['#/trackers/characters/pools', { none: 'There is no tracker', one: 'worker-1', many: '100 of 2,000 shown' }],
  ['#/trackers/characters/options', { none: 'There is no tracker', one: 'retry.base', many: 'retry.base' }],
  ['#/buffers', { none: 'There is no buffer', one: 'mail', many: '50 of 1,000 shown' }],
  ['#/buffers/mail', { none: 'There is no buffer', one: 'they add up', many: 'they add up' }],
  ['#/buffers/mail/dead', { none: 'There is no buffer', one: '0-4711', many: '200 of 100,000 shown' }],
  ['#/buffers/mail/dead/0-4711', { none: 'There is no buffer', one: 'Entry', many: 'Entry' }],
  ['#/jobs', { none: 'There is no job', one: 'stamina', many: '50 of 1,000 shown' }],
  ['#/jobs/stamina', { none: 'There is no job', one: 'schedule', many: '100 shown' }],
  ['#/jobs/stamina/failed', { none: 'There is no job', one: 'division by zero', many: '500 of 1,000 shown' }],
  ['#/jobs/stamina/explain', { none: 'There is no job', one: 'Index Scan', many: 'Index Scan' }],
  ['#/upstreams', { none: 'No upstream has limits', one: 'esi', many: 'esi' }],
  ['#/upstreams/esi', { none: 'Nobody has spent from it', one: 'esi/group:1', many: 'esi/group:99' }],
  ['#/nodes', { none: 'No worker runs', one: 'worker-1', many: '100 of 1,000 shown' }],
  ['#/nodes/worker-1', { none: 'There is no node', one: 'event loop', many: 'event loop' }],
  ['#/activities', { none: 'No durable activity runs', one: 'charge', many: '200 shown' }],
  ['#/log', { none: 'No operator has done anything', one: 'pause', many: '500 shown' }],
];

const names = (first: string, count: number): string[] => [
  first,
  ...Array.from({ length: count - 1 }, (_, i) => `${first}-${i + 2}`),
];

/** Lists that the state has whole are of thousands; those that come in pages are of a hundred thousand. */
const of = (count: number): State => ({
  ...nothing(),
  status: {
    trackers: names('characters', count).map((name) =>
      tracker(name, count > 1 ? { pools: 2_000, poolsOnShift: 2_000 } : { members: 1 }),
    ),
    buffers: names('mail', count).map((name) => buffer(name, count > 1 ? { dead: 100_000 } : { dead: 1 })),
    jobs: names('stamina', count).map((name) => job(name, { failedRows: count })),
    nodes: [],
  },
  cluster: cluster(Array.from({ length: count }, (_, i) => node(`worker-${i + 1}`))),
  buckets: Array.from({ length: Math.min(100, count) }, (_, i) => bucket(`esi/group:${i + 1}`)).slice(0, 100),
});

const SIZES = {
  none: { state: nothing(), answers: 0 },
  one: { state: of(1), answers: 1 },
  many: { state: of(1_000), answers: 100_000 },
};

/** Names of rows in fewer pixels than a short word needs. */
const NARROW_NAMES = `[...document.querySelectorAll('tbody th')]
  .filter((name) => name.getBoundingClientRect().width < 80 && name.textContent.length > 4)
  .map((name) => name.textContent)`;
/** The page, and the part of a thing, that the reader is on: out of the row of links. */
const OUT_OF_SIGHT = `[...document.querySelectorAll('nav [aria-current]')]
  .filter((link) => link.getBoundingClientRect().right > innerWidth + 1 || link.getBoundingClientRect().left < -1)
  .map((link) => link.textContent)`;

const built = builtPage();

describeInBrowser('every page', () => {
  let chromium: Chromium;
  let site: Site;
  beforeAll(async () => {
    chromium = await Chromium.launch();
  });
  afterEach(() => site.close());
  afterAll(() => chromium.close());

  const goTo = async (page: Page, hash: string, text: string): Promise<void> => {
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
    await page.locator('main').getByText(text).first().waitFor();
  };

  test.each(['none', 'one', 'many'] as const)('with %s of its things: it says so, and fits', async (size) => {
    site = await new Site(built.folder, SIZES[size].state).open();
    answerAll(site, SIZES[size].answers);
    const page = await chromium.open(site.url, { now: MOMENT });
    for (const [hash, texts] of PAGES) {
      await page.setViewportSize({ width: 1_280, height: 900 });
      await goTo(page, hash, texts[size]);
      expect([hash, await overflows(page)]).toEqual([hash, false]);
      await page.setViewportSize({ width: 390, height: 844 });
      expect([hash, await overflows(page)]).toEqual([hash, false]);
      // A name is read in a line or some, and not a letter a line; the reader sees where they are.
      expect([hash, await page.evaluate(NARROW_NAMES)]).toEqual([hash, []]);
      await eventually(`${hash}: the current link is in sight`, async () => {
        return (await page.evaluate<unknown[]>(OUT_OF_SIGHT)).length === 0;
      });
      // However many there are, a page stays one that a browser draws at once.
      expect(await page.locator('tr').count()).toBeLessThan(700);
    }
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test.each(['light', 'dark'] as const)('axe finds nothing: %s', async (theme) => {
    site = await new Site(built.folder, busy()).open();
    answerAll(site, 3);
    const page = await chromium.open(site.url, { now: MOMENT, theme });
    const found: string[] = [];
    for (const [hash] of PAGES) {
      // The other theme has other colours, and nothing else.
      await goTo(page, hash, 'a');
      await page.waitForLoadState('networkidle');
      found.push(
        ...(await violations(page, theme === 'dark' ? ['color-contrast'] : undefined)).map((text) => `${hash} ${text}`),
      );
    }
    expect(found).toEqual([]);
    expect(page.wrong).toEqual([]);
    await page.close();
  });
});
