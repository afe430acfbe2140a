/**
 * Pictures of the page in both themes, held against those that `docs/dashboard.md` shows: by the mean colour of small
 * fields: another font on another machine does not count, and a part that is missing, moved or of another
 * colour is one. `LONGWATCH_PICTURES=write npx jest test/page/pictures` makes them anew.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { buildPage } from '../../scripts/page';
import { answerAll } from './support/answers';
import { Chromium, describeInBrowser } from './support/browser';
import { busy, MOMENT } from './support/samples';
import { Site } from './support/site';

const PICTURES = path.join(__dirname, '../../docs/pictures');
const ARE_WRITTEN = process.env.LONGWATCH_PICTURES === 'write';
/** Fields across and down: each is some twenty pixels wide. */
const FIELDS = [64, 45] as const;
/** A field is another one from this difference of its colour on, of 255. */
const OTHER = 36;
/** Fields that may be others: text in another font. */
const MOST_OTHERS = 0.04;

/** A name, an address, and a text that comes last. */
const SHOWN: [string, string, string][] = [
  ['overview', '#/', '2 problems, 3 notices'],
  ['tracker', '#/trackers/characters', 'age of values'],
];

/** The share of fields that differ. */
const DIFFERENCE = `async ([one, two, [across, down], other]) => {
  const fields = async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = new OffscreenCanvas(across, down);
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(image, 0, 0, across, down);
    return context.getImageData(0, 0, across, down).data;
  };
  const [a, b] = [await fields(one), await fields(two)];
  let others = 0;
  for (let at = 0; at < a.length; at += 4)
    if ([0, 1, 2].some((colour) => Math.abs(a[at + colour] - b[at + colour]) > other)) others++;
  return others / (across * down);
}`;

const urlOf = (png: Buffer): string => `data:image/png;base64,${png.toString('base64')}`;

describeInBrowser('the pictures of docs/dashboard.md', () => {
  let folder: string;
  let chromium: Chromium;
  let site: Site;
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'longwatch-page-'));
    [chromium] = await Promise.all([Chromium.launch(), buildPage(folder)]);
    site = await new Site(folder, busy()).open();
    answerAll(site);
  });
  afterAll(async () => {
    await chromium?.close();
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const differ = (page: Page, one: Buffer, two: Buffer): Promise<number> =>
    page.evaluate<number>(`(${DIFFERENCE})(${JSON.stringify([urlOf(one), urlOf(two), FIELDS, OTHER])})`);

  test.each(SHOWN)('%s is as it is shown, in both themes, and the themes differ', async (name, hash, text) => {
    const taken: Buffer[] = [];
    const blank = await chromium.open('about:blank');
    for (const theme of ['light', 'dark'] as const) {
      const page = await chromium.open(`${site.url}${hash}`, { now: MOMENT, theme });
      await page.getByText(text).first().waitFor();
      await page.waitForLoadState('networkidle');
      const png = await page.screenshot();
      const file = path.join(PICTURES, `${name}-${theme}.png`);
      if (ARE_WRITTEN) writeFileSync(file, png);
      expect(existsSync(file)).toBe(true);
      const share = await differ(blank, png, readFileSync(file));
      expect(share).toBeLessThanOrEqual(MOST_OTHERS);
      taken.push(png);
      expect(page.wrong).toEqual([]);
      await page.close();
    }
    // The measure is one that can fail.
    expect(await differ(blank, taken[0]!, taken[1]!)).toBeGreaterThan(0.5);
    await blank.close();
  });
});
