/** A page that stays open: other clocks, lists that change, a tab behind others, a proxy's own answers. */
import { eventually } from '../support/stack';
import { answerAll } from './support/answers';
import { Chromium, describeInBrowser } from './support/browser';
import { builtPage } from './support/built';
import { letter } from './support/letters';
import { at, bucket, buffer, busy, job, MOMENT } from './support/samples';
import { Site } from './support/site';

const HOUR_MS = 3_600_000;

const built = builtPage();

describeInBrowser('a page that is open', () => {
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

  test.each([2 * HOUR_MS, -2 * HOUR_MS])(
    'ages and ranges are those of the server, by a clock %p ms off',
    async (off) => {
      site.state.status.jobs = [job('stamina', { last: { ...job('x').last!, endedAt: at(120_000) } })];
      const ranges: (string | null)[] = [];
      site.answer('GET marks', ({ path: asked }) => {
        ranges.push(new URLSearchParams(asked.split('?')[1]).get('from'));
        return { items: [], next: null };
      });
      const page = await chromium.open(`${site.url}#/jobs`, { now: MOMENT + off });
      await page.getByText('2 min ago').waitFor();
      await page.evaluate('location.hash = "#/trackers/characters"');
      await page.getByRole('heading', { name: 'History' }).waitFor();
      await page.locator('figure.chart').first().waitFor();
      expect(Math.abs(Date.parse(ranges[0]!) - (MOMENT - HOUR_MS))).toBeLessThan(60_000);
      await page.close();
    },
  );

  test('a list is asked for anew, keeps what was opened of it, and never turns blank', async () => {
    const names = Array.from({ length: 150 }, (_, i) => `esi/group:${String(i).padStart(3, '0')}`);
    let spent = 1;
    site.state.buckets = [];
    site.answer('GET buckets', ({ path: asked }) => {
      const query = new URLSearchParams(asked.split('?')[1]);
      const from = query.has('after') ? names.indexOf(query.get('after')!) + 1 : 0;
      const items = names.slice(from, from + 100).map((name) => bucket(name, { spent }));
      return { items, next: from + 100 < names.length ? items.at(-1)!.bucket : null };
    });
    const page = await chromium.open(`${site.url}#/upstreams/esi`, { now: MOMENT });
    await page.getByText('100 shown').first().waitFor();
    await page.getByRole('button', { name: 'show more' }).last().click();
    await page.getByText('all 150 shown').waitFor();
    await page.evaluate(`new MutationObserver(() => {
      if (!document.querySelector('table') || /Nobody has spent/.test(document.body.textContent)) document.title = 'blank';
    }).observe(document.body, { subtree: true, childList: true })`);
    spent = 4_321;
    await page.clock.runFor(31_000);
    await page.getByText('4,321').first().waitFor();
    expect(await page.getByText('all 150 shown').count()).toBe(1);
    expect(await page.title()).not.toBe('blank');
    await page.close();
  });

  test('a list of many thousands is gone through to its end, and back, without drawing all of it at once', async () => {
    const MANY = 5_000;
    answerAll(site, MANY);
    site.state.status.buffers = [buffer('mail', { dead: MANY })];
    const page = await chromium.open(`${site.url}#/buffers/mail/dead`, { now: MOMENT });
    await page.getByText('200 of 5,000 shown').waitFor();
    const more = page.getByRole('button', { name: 'show more' });
    const rows = page.getByRole('group', { name: 'Dead letters', exact: true }).locator('tbody tr');
    let steps = 0;
    for (; (await more.count()) > 0; steps++) {
      const before = await page.locator('.more').innerText();
      await more.click();
      await eventually('the next ones', async () => !['', before].includes(await page.locator('.more').innerText()));
      expect(await rows.count()).toBeLessThanOrEqual(3_000);
    }
    expect(await page.locator('.more').innerText()).toMatch(/to 5,000 shown, and that is the end/);
    expect(await rows.last().innerText()).toContain(letter(MANY - 1).id);
    expect(steps).toBeLessThan(12);
    await page.getByRole('button', { name: 'from the first one' }).click();
    await page.getByText('200 of 5,000 shown').waitFor();
    expect(await rows.first().innerText()).toContain(letter(0).id);
    await page.close();
  });

  test('of those that were chosen none is there any more: what was meant for them is not done to all', async () => {
    let there = [0, 1, 2].map(letter);
    site.answer('GET buffers/mail/dead', () => ({ items: there, next: null }));
    const page = await chromium.open(`${site.url}#/buffers/mail/dead`, { now: MOMENT });
    await page.getByRole('checkbox').first().check();
    await page.getByText('1 chosen:').waitFor();
    there = [1, 2].map(letter);
    await page.clock.runFor(4_000);
    await page.getByText('Those that were chosen are not in this list any more').waitFor();
    expect(await page.getByRole('button', { name: /^(Retry|Drop) all/ }).count()).toBe(0);
    await page.getByRole('button', { name: 'choose none' }).click();
    expect(await page.getByRole('button', { name: /^Drop all/ }).count()).toBe(1);
    await page.close();
  });

  test('a tab that was opened behind others asks when it is seen', async () => {
    const page = await chromium.open('about:blank');
    await page.addInitScript(`Object.defineProperty(document, 'hidden', { get: () => window.isSeen !== true })`);
    await page.goto(`${site.url}#/jobs/stamina/explain`);
    await page.getByText('Asking PostgreSQL').waitFor();
    await page.evaluate(`window.isSeen = true; document.dispatchEvent(new Event('visibilitychange'))`);
    await page.getByText('Index Scan').waitFor();
    await page.close();
  });

  test('a proxy that answers with a page of its own is said, and nothing breaks', async () => {
    site.answer('GET jobs/stamina/explain', () => undefined);
    const page = await chromium.open(`${site.url}#/jobs/stamina/explain`);
    await page.getByRole('alert').getByText('a proxy may want a login').waitFor();
    await page.close();
  });
});
