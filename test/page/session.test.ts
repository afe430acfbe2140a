/**
 * The reader of a page that is open: a token that ends, one who signs out, another tab, too many tries, a program
 * with a login of its own, a role that is another one since.
 */
import type { Page } from 'playwright-core';
import { answerAll, ADMIN } from './support/answers';
import { Chromium, describeInBrowser, violations } from './support/browser';
import { builtPage } from './support/built';
import { busy, MOMENT } from './support/samples';
import { LOST, refusal, Site } from './support/site';

const built = builtPage();
const NO_TOKEN = refusal(401, 'it needs a token', { 'www-authenticate': 'Bearer' });
const REFUSED = /401|429|502|ERR_/;

describeInBrowser('the session', () => {
  let chromium: Chromium;
  let site: Site;
  /** As the server knows the reader; undefined: it does not. */
  let isIn: boolean;
  beforeAll(async () => {
    chromium = await Chromium.launch();
  });
  afterAll(() => chromium.close());
  beforeEach(async () => {
    site = await new Site(built.folder, busy()).open();
    answerAll(site);
    isIn = true;
    site.answer('GET me', () => (isIn ? { ...ADMIN, byCookie: true } : Promise.reject(NO_TOKEN)));
    site.answer('POST logout', () => {
      isIn = false;
      return { out: true };
    });
    site.answer('POST login', () => {
      isIn = true;
      return { name: 'ana', role: 'admin' };
    });
  });
  afterEach(() => site.close());

  const opened = (hash: string) => chromium.open(`${site.url}${hash}`, { now: MOMENT, expected: REFUSED });
  const signIn = async (page: Page): Promise<void> => {
    await page.getByRole('textbox', { name: 'token' }).fill('lw_another');
    await page.getByRole('button', { name: 'Sign in' }).click();
  };

  test('a token that ends while the page is open is said; with another one the reader goes on where they were', async () => {
    const page = await opened('#/trackers/characters/members?prefix=21');
    await page.getByRole('link', { name: '2112000000' }).first().waitFor();
    isIn = false;
    site.answer('GET trackers/characters/members', () => Promise.reject(NO_TOKEN));
    await page.clock.runFor(11_000);
    await page.getByText(/Your token is not taken any more.*replaced or taken back/).waitFor();
    expect(await page.getByText('characters').count()).toBe(0);
    expect(await violations(page)).toEqual([]);
    answerAll(site, 100, { ...ADMIN, byCookie: true });
    await signIn(page);
    await page.getByRole('link', { name: '2112000000' }).first().waitFor();
    expect(page.url()).toContain('#/trackers/characters/members?prefix=21');
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('signed out, in all tabs of the browser: the page says so, and shows nothing any more', async () => {
    const page = await opened('#/trackers/characters');
    await page.getByRole('heading', { name: 'characters' }).waitFor();
    const other = await page.context().newPage();
    await other.goto(`${site.url}#/nodes`);
    await other.getByText('worker-1').first().waitFor();
    await page.getByRole('button', { name: 'sign out' }).click();
    for (const each of [page, other]) {
      await each.getByText('You are signed out').waitFor();
      expect(await each.getByText(/characters|worker-1/).count()).toBe(0);
    }
    expect(site.sent.map(({ path }) => path)).toEqual(['logout']);
    await signIn(page);
    await page.getByRole('heading', { name: 'characters' }).waitFor();
    await other.getByText('worker-1').first().waitFor();
    await page.close();
  });

  test('who could not be signed out is told so, and is not taken for one who was', async () => {
    site.answer('POST logout', () => LOST);
    const page = await opened('#/');
    await page.getByRole('button', { name: 'sign out' }).click();
    await page.getByRole('alert').getByText('not signed out').waitFor();
    await page.getByRole('heading', { name: '2 problems' }).waitFor();
    await page.close();
  });

  test('without a token there is nothing to sign out of', async () => {
    site.answer('GET me', () => ADMIN);
    const page = await opened('#/');
    await page.getByRole('heading', { name: '2 problems' }).waitFor();
    expect(await page.getByRole('button', { name: 'sign out' }).count()).toBe(0);
    await page.close();
  });

  test('too many tries: the page says what has happened and when it asks again, and does', async () => {
    let isLocked = true;
    const locked = refusal(429, 'wait a minute', { 'retry-after': '60' });
    site.answer('GET me', () => (isLocked ? Promise.reject(locked) : { ...ADMIN, byCookie: true }));
    const page = await opened('#/nodes');
    await page.getByText(/Too many tokens that are not known came from your address/).waitFor();
    await page.getByText(/It is asked again by itself in (1 min|[56]\d s)/).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: 'ask now' }).click();
    await page.getByText(/Too many tokens/).waitFor();
    isLocked = false;
    await page.clock.runFor(61_000);
    await page.getByText('worker-1').first().waitFor();
    await page.close();
  });

  test('a program with a login of its own: no token is asked for, and the page is loaded again', async () => {
    let isKnown = false;
    // It may answer 401, or send the browser to its login.
    const away = refusal(302, 'to the login', { location: '/login' });
    site.answer('GET me', () => (isKnown ? ADMIN : Promise.reject(away)));
    const page = await opened('#/nodes');
    await page.getByText('You are not signed in').waitFor();
    expect(await page.getByRole('textbox', { name: 'token' }).count()).toBe(0);
    expect(await violations(page)).toEqual([]);
    isKnown = true;
    await page.getByRole('button', { name: 'Load the page again' }).click();
    await page.getByText('worker-1').first().waitFor();
    await page.close();
  });

  test('a proxy whose server is away is not taken for a server that does not answer', async () => {
    site.answer('GET me', () => Promise.reject(refusal(502, 'the upstream is away')));
    const page = await opened('#/');
    await page.clock.runFor(3_000);
    await page.getByRole('alert').getByText('the upstream is away').waitFor();
    await page.close();
  });

  test('a role that is another one after the server was away counts at once', async () => {
    const page = await opened('#/trackers/characters');
    const pause = page.getByRole('button', { name: 'Pause characters' });
    await pause.waitFor();
    expect(await pause.isEnabled()).toBe(true);
    site.answer('GET me', () => ({ ...ADMIN, role: 'read', byCookie: true }));
    await site.close();
    await site.open();
    await page.getByText('may only read').waitFor();
    expect(await pause.isDisabled()).toBe(true);
    await page.close();
  });

  test('a page that was left open while the server got another release says so, and is loaded again by a word', async () => {
    const page = await opened('#/nodes');
    await page.getByText('worker-1').first().waitFor();
    await page.waitForLoadState('networkidle');
    const notice = page.getByText('The server has another release of this page');
    expect(await notice.count()).toBe(0);
    await site.close();
    site.release = 'two';
    await site.open();
    await notice.waitFor();
    await page.getByRole('button', { name: 'load it again' }).click();
    await page.getByText('worker-1').first().waitFor();
    expect(await notice.count()).toBe(0);
    await page.close();
  });
});
