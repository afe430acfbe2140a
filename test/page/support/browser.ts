/**
 * One Chromium for a file of tests. On a machine without one the tests are skipped and say so; `CHROMIUM` names one
 * that is elsewhere. Every page that a test opens is watched: an error in its console, a request to elsewhere or a
 * refusal of the policy fails the test.
 */
import { existsSync, readFileSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';
import type { AxeResults } from 'axe-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const CHROMIUM = [process.env.CHROMIUM, ...PLACES].find((place) => place !== undefined && existsSync(place));

/** `describe` where there is a browser. */
export const describeInBrowser: jest.Describe = CHROMIUM ? describe : describe.skip;
if (!CHROMIUM)
  process.stderr.write('no Chromium on this machine (CHROMIUM names one): the tests of the page are skipped\n');

/** A page that has not come by then does not come. */
const PATIENCE_MS = 60_000;

type Theme = 'light' | 'dark';

export interface Look {
  width?: number;
  height?: number;
  theme?: Theme;
  /** The time of the browser, which then goes on by itself. */
  now?: number;
  /** Errors in the console that belong to the test. */
  expected?: RegExp;
}

export class Chromium {
  private constructor(private readonly browser: Browser) {}

  static async launch(): Promise<Chromium> {
    return new Chromium(
      await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--force-color-profile=srgb'] }),
    );
  }

  /** A page of a browser that has been nowhere. The test's `wrong` is empty at its end. */
  async open(url: string, look: Look = {}): Promise<Page & { wrong: string[] }> {
    const { width = 1_280, height = 900, theme = 'light', now, expected } = look;
    const context = await this.browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      reducedMotion: 'reduce',
      timezoneId: 'UTC',
      locale: 'en-GB',
    });
    const page = Object.assign(await context.newPage(), { wrong: [] as string[] });
    page.setDefaultTimeout(PATIENCE_MS);
    const origin = new URL(url).origin;
    const note = (text: string): void => {
      if (!expected?.test(text)) page.wrong.push(text);
    };
    page.on('console', (message) => {
      if (message.type() === 'error') note(`${message.text()} ${message.location().url}`);
    });
    page.on('pageerror', (error) => note(String(error.stack ?? error)));
    page.on('request', (request) => {
      if (origin !== 'null' && !request.url().startsWith(origin) && !request.url().startsWith('data:'))
        note(`asked elsewhere: ${request.url()}`);
    });
    if (now !== undefined) await page.clock.install({ time: now });
    await page.goto(url);
    return page;
  }

  close(): Promise<void> {
    return this.browser.close();
  }
}

const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/**
 * The findings of axe, a line each: empty is well.
 * @param rules only these
 */
export async function violations(page: Page, rules?: readonly string[]): Promise<string[]> {
  await page.evaluate(AXE);
  const results = await page.evaluate<AxeResults>(
    `axe.run(document, ${JSON.stringify({ resultTypes: ['violations'], ...(rules && { runOnly: rules }) })})`,
  );
  return results.violations.map(
    ({ id, nodes }) =>
      `${id}: ${nodes
        .slice(0, 3)
        .map(({ html, failureSummary }) => `${html} (${failureSummary})`)
        .join(' | ')}`,
  );
}

/** Whether something makes the page itself wider than the window. */
export const overflows = (page: Page): Promise<boolean> =>
  page.evaluate<boolean>('document.documentElement.scrollWidth > innerWidth');
