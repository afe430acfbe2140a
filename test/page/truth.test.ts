/**
 * The figures of the page say what they are figures of: of now or of then, of this database or of one behind it, of all
 * or of the first of many; and what keeps a member's messages.
 */
import type { Series } from '../../client/series';
import { answerAll } from './support/answers';
import { Chromium, describeInBrowser } from './support/browser';
import { builtPage } from './support/built';
import { busy, MOMENT, series } from './support/samples';
import { Site } from './support/site';

const built = builtPage();

/** As it is after the last node has died: nobody has counted the last twenty minutes. */
const until = (known: number, { figures, seconds, ...rest }: Series): Series => ({
  ...rest,
  seconds: seconds.map((second, i) => (i < known ? second : 0)),
  figures: Object.fromEntries(
    Object.entries(figures).map(([name, values]) => [name, values.map((value, i) => (i < known ? value : null))]),
  ),
});

describeInBrowser('what the page says', () => {
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

  test.each([
    [40, /^runs \d+\/s at \d\d:\d\d$/, / at \d\d:\d\d \d+\/s$/],
    [60, /^runs \d+\/s$/, /, now \d+\/s$/],
  ])('a figure of %i of 60 minutes is one of now, or has its time', async (known, caption, label) => {
    site.answer('GET history/operation/', () => until(known, series('operation', 'characters/location')));
    const page = await chromium.open(`${site.url}#/trackers/characters`, { now: MOMENT });
    const chart = page.locator('figure.chart').first();
    await chart.waitFor();
    expect((await chart.locator('figcaption').innerText()).trim()).toMatch(caption);
    expect(await chart.locator('svg').getAttribute('aria-label')).toMatch(label);
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('of more histories than are drawn the first are said to be the first', async () => {
    const limits: (string | null)[] = [];
    site.answer('GET history/bucket', ({ path: asked }) => {
      limits.push(new URLSearchParams(asked.split('?')[1]).get('limit'));
      return { items: Array.from({ length: 12 }, (_, i) => series('bucket', `esi/group:${i}`)), next: 'more' };
    });
    const page = await chromium.open(`${site.url}#/upstreams/esi`, { now: MOMENT });
    await page.getByText('These are the first 12, by their names.').waitFor();
    expect(limits).toContain('12');
    await page.close();
  });

  test.each([
    [undefined, undefined],
    [400, undefined],
    [180_000, 'that is 3 min behind: they are as they were then.'],
    [null, 'that has not followed anything yet.'],
  ])('a replica that is %p ms behind: %p', async (behindMs, words) => {
    site.state.status.replica = behindMs === undefined ? undefined : { behindMs };
    const page = await chromium.open(`${site.url}#/trackers`, { now: MOMENT });
    await page.getByText('characters').first().waitFor();
    const note = page.getByRole('note');
    if (words === undefined) expect(await note.count()).toBe(0);
    else expect(await note.innerText()).toContain(words);
    await page.close();
  });

  test('a member’s messages, in their order, with what keeps them; its state when it is asked for', async () => {
    const page = await chromium.open(`${site.url}#/trackers/characters/members/2112000000`, { now: MOMENT });
    const rows = page.getByRole('group', { name: 'Messages that wait' }).locator('tbody tr');
    await rows.nth(2).waitFor();
    expect(await rows.first().innerText()).toMatch(/"word 0".*4.*2 strikes.*in \d+ s.*rooms is not iterable/s);
    expect(await rows.nth(1).innerText()).not.toMatch(/strike/);
    // A timer has one as well, and so has a value that its handler was told of.
    const lines = page.locator('ul.lines li');
    expect(await lines.first().innerText()).toMatch(/digest.*1 strike/s);
    expect(await lines.nth(1).innerText()).toMatch(/value of.*location.*2 strikes/s);
    expect(await page.getByText('"hello"').count()).toBe(0);
    await page.getByText('its state').click();
    await page.getByText('"hello"').waitFor();
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('who removes a member that receives is told what cannot be had back', async () => {
    const page = await chromium.open(`${site.url}#/trackers/characters/members/2112000000`, { now: MOMENT });
    await page.getByRole('button', { name: /^Send a message/ }).waitFor();
    await page.getByRole('button', { name: /^Remove / }).click();
    await page.getByRole('dialog').getByText('State, mail and timers are deleted as well').waitFor();
    await page.close();
  });
});
