/**
 * The actions of the page, against real servers and the real handler: each says its consequence in numbers, is done,
 * shows its outcome and its row of the audit, and is taken back where it can be; two people at once; a token that may
 * only read.
 */
import { defineBuffer } from '../../config/define/buffer';
import type { ConfigDefinition } from '../../config/define/config';
import { resolveConfig } from '../../config/resolve/config';
import type { Served } from '../../http/serve';
import { newToken } from '../../http/who';
import type { Json } from '../../workflows/lib/json';
import { eventually, Stack } from '../support/stack';
import { type Chromium, describeInBrowser, overflows, violations } from './support/browser';
import { act, confirm, RealSite, undo } from './support/real';

const CONFIG: ConfigDefinition = {
  trackers: [{ name: 'things', operations: { look: { every: '1s', run: async ({ id }) => ({ value: { id } }) } } }],
  buffers: [
    defineBuffer<Json>({
      name: 'mail',
      maxBatchSize: 10,
      retry: { attempts: 1 },
      run: () => Promise.reject(new Error('550 no such mailbox')),
    }),
  ],
  regens: [{ name: 'energy', table: 'hero', set: { energy: 'least(energy + 1, 100)' }, every: '1h' }],
};

describeInBrowser('actions on the page', () => {
  let site: RealSite;
  let stack: Stack;
  let chromium: Chromium;
  let open: Served;
  let guarded: Served;
  let tokens: Record<'read' | 'operate', string>;

  beforeAll(async () => {
    site = await RealSite.start(Stack.start());
    ({ stack, chromium } = site);
    await stack.sql('create table hero (id int primary key, energy int not null) with (fillfactor = 80)');
    await stack.sql('insert into hero select n, 0 from generate_series(1, 20) n');
    await stack.worker(CONFIG);
    const longwatch = await stack.connect();
    const { trackers, buffers, jobs } = resolveConfig(CONFIG);
    for (const { name, options } of trackers) await longwatch.tracker(name).start(options);
    for (const { name, options } of buffers) await longwatch.buffer(name).start(options);
    for (const { name, options } of jobs) await longwatch.job(name).start(options);
    await longwatch.tracker('things').add(['a/b', 'c', '<i>d</i>'], { wait: true });
    await longwatch.buffer('mail').push([1, 2, 3], { wait: true });
    await eventually('three dead letters', async () => (await longwatch.buffer('mail').dead.count()) === 3);
    open = await site.serve({ open: true, actor: 'ana' });
    const [read, operate] = [newToken('guest', 'read'), newToken('op', 'operate')];
    tokens = { read: read.token, operate: operate.token };
    guarded = await site.serve({ tokens: `${read.line} ${operate.line}` });
  });
  afterAll(() => site?.close());

  test('a tracker: paused with a reason, taken back, an option set and taken back', async () => {
    const page = await chromium.open(`${open.url}#/trackers/things`);
    expect(await act(page, 'Pause things', /3 members in 1 pool are not asked about/, { why: 'a test' })).toContain(
      'things is paused',
    );
    expect(await site.listed('pause')).toMatchObject({ actor: 'ana', via: 'http', why: 'a test', outcome: 'done' });
    await page.getByText('paused', { exact: true }).first().waitFor();
    await undo(page);
    expect(await confirm(page, /asked about again: about 3 runs a second/)).toContain('things is running');
    await page.getByRole('link', { name: 'Options' }).click();
    expect(
      await act(page, 'Set operations.look.every of things', /1s becomes 2s/, { 'operations.look.every': '2s' }),
    ).toContain('is set');
    expect((await site.listed('set')).outcome).toBe('done');
    await page.getByText('set by hand').first().waitFor();
    await undo(page);
    expect(await confirm(page, /2s becomes 1s, as configured/)).toContain('is set');
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('members: added, looked at, refetched, removed; a name with marks in it is text', async () => {
    const page = await chromium.open(`${open.url}#/trackers/things/members`);
    expect(
      await act(page, 'Add members to things', /2 ids are tracked beside 3 members/, {
        'ids, one a line': 'e\n e \nf',
      }),
    ).toContain('2 ids accepted');
    await page.getByLabel('Ids that begin with').fill('<i>');
    await page.getByRole('link', { name: '<i>d</i>' }).first().click();
    await page.getByRole('heading', { name: '<i>d</i>' }).waitFor();
    await page.getByText('"id": "<i>d</i>"').waitFor();
    expect(await act(page, 'Refetch <i>d</i>', /This member × 1 operation/)).toContain('1 member asked anew');
    expect((await site.listed('refetch')).outcome).toBe('done');
    expect(await act(page, 'Remove <i>d</i> of things', /values are deleted/)).toContain('1 id removed');
    await page.getByText('Not read:').waitFor();
    expect(await violations(page)).toEqual([]);
    expect(page.wrong.filter((text) => !text.includes('404'))).toEqual([]);
    await page.close();
  });

  test('a buffer: dead letters by their error, one dropped and taken back, all retried; paused', async () => {
    const page = await chromium.open(`${open.url}#/buffers/mail/dead`);
    await page.getByText('550 no such mailbox').first().waitFor();
    await page.getByRole('checkbox').first().check();
    expect(await act(page, 'Drop 1 dead letter of mail', /1 entry becomes dropped/)).toContain('1 entry dropped');
    expect((await site.listed('dead drop')).outcome).toBe('done');
    await undo(page);
    expect(await confirm(page, /1 entry becomes pending again/)).toContain('1 entry on their way back');
    expect((await site.listed('dead restore')).outcome).toBe('done');
    expect(await act(page, 'Retry all dead letters of mail', /entr(y becomes|ies become) pending again/)).toMatch(
      /pending again/,
    );
    expect((await site.listed('dead retry')).outcome).toBe('done');
    expect(await act(page, 'Flush mail', /do not wait for their batch to fill/)).toMatch(/shards? told/);
    expect(await act(page, 'Pause mail', /No batch is begun until it is resumed/)).toContain('mail is paused');
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('a job runs now, and its tick is a bar', async () => {
    const page = await chromium.open(`${open.url}#/jobs/energy`);
    expect(await act(page, 'Run now: energy', /It begins at once/)).toContain('20 rows in');
    expect(await site.listed('run')).toMatchObject({ actor: 'ana', outcome: 'done' });
    await page.locator('svg.bars rect').first().waitFor({ state: 'attached' });
    await page.getByRole('link', { name: 'Explain' }).click();
    await page.getByText('least(energy + 1, 100)').first().waitFor();
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('a node: a target and back, drained and back; rebalance says that nothing would move', async () => {
    const page = await chromium.open(`${open.url}#/nodes`);
    const target = page.getByRole('button', { name: /^Target of/ });
    await target.click();
    expect(await confirm(page, /takes 4 more at most/, { 'pools at most': '5' })).toContain('has its target');
    await undo(page);
    expect(await confirm(page, /as many pools as balancing gives it/)).toContain('has its target');
    await page.getByRole('button', { name: /^Weight of/ }).click();
    expect(await confirm(page, /from about 100 % to about 100 %/, { weight: '2' })).toContain('has its weight');
    expect((await site.listed('node weight')).outcome).toBe('done');
    await undo(page);
    expect(await confirm(page, /by the weights/)).toContain('has its weight');
    await page.getByRole('button', { name: /^Drain/ }).click();
    expect(await confirm(page, /1 pool with 4 members goes to nobody/)).toContain('gives away what it keeps');
    expect((await site.listed('node drain')).outcome).toBe('done');
    await undo(page);
    expect(await confirm(page, /It may keep pools again/)).toContain('may keep pools again');
    await page.getByRole('button', { name: 'Rebalance' }).click();
    await page.getByRole('dialog').getByText('every node has its share').waitFor();
    expect(await page.getByRole('dialog').locator('button[type=submit]').isDisabled()).toBe(true);
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('a tracker: its holds opened, a pool that can go nowhere, stopped and started', async () => {
    await stack.sql(`insert into longwatch.hold (tracker, operation, held_until, told_at, node, reason)
      values ('things', 'look', now() + interval '10 minutes', now(), 'worker', 'the upstream answered 429')`);
    const page = await chromium.open(`${open.url}#/trackers/things`);
    expect(
      await act(page, 'Open the holds of things.look', /held for another 10 min: the upstream answered 429/),
    ).toContain('1 hold lifted');
    expect((await site.listed('hold open')).outcome).toBe('done');
    await page.getByRole('link', { name: 'Pools' }).click();
    await page.getByRole('button', { name: 'Move pool 0 of things' }).click();
    await page.getByRole('dialog').getByText('there is no other node that lives').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect(await act(page, 'Stop things', /Every shift of \d members in 1 pool ends/)).toContain('things is stopped');
    expect((await site.listed('stop')).outcome).toBe('done');
    await undo(page);
    expect(await confirm(page, /are kept again, with the options that it had/)).toContain('things is running');
    expect((await site.listed('start')).outcome).toBe('done');
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('two people: what one has done closes the way of the other, who sees why', async () => {
    const [ana, ben] = [
      await chromium.open(`${open.url}#/buffers/mail`),
      await chromium.open(`${open.url}#/buffers/mail`),
    ];
    await ana.getByRole('button', { name: 'Resume mail' }).click();
    await ben.getByRole('button', { name: 'Resume mail' }).click();
    expect(await confirm(ana, /go to your code again/)).toContain('mail is running');
    await ben.getByRole('dialog').getByText('it is running already').waitFor();
    expect(await ben.getByRole('dialog').locator('button[type=submit]').isDisabled()).toBe(true);
    await Promise.all([ana.close(), ben.close()]);
  });

  test('a token that is taken away while the page is open, and one who signs out', async () => {
    const [first, second] = [newToken('ana', 'operate'), newToken('ana', 'operate')];
    const served = await site.serve({ tokens: first.line });
    const port = Number(new URL(served.url).port);
    const page = await chromium.open(`${served.url}#/trackers/things/options`, { expected: /401|ERR_|Failed to load/ });
    const signIn = async (token: string): Promise<void> => {
      await page.getByRole('textbox', { name: 'token' }).fill(token);
      await page.getByRole('button', { name: 'Sign in' }).click();
    };
    await signIn(first.token);
    await page.getByText('operations.look.every').waitFor();
    await served.stop();
    const again = await site.serve({ tokens: second.line }, port);
    await page.getByText(/Your token is not taken any more/).waitFor();
    await signIn(second.token);
    await page.getByText('operations.look.every').waitFor();
    await page.getByRole('button', { name: 'sign out' }).click();
    await page.getByText('You are signed out').waitFor();
    // The cookie is gone, and not only what the page has of it.
    await page.reload();
    await page.getByRole('textbox', { name: 'token' }).waitFor();
    expect(await page.context().cookies(`${again.url}api/v1/me`)).toEqual([]);
    expect(page.wrong).toEqual([]);
    await page.close();
  });

  test('a token that may only read sees everything and does nothing; the log is there for it too', async () => {
    const page = await chromium.open(`${guarded.url}#/trackers/things`, { expected: /401/ });
    await page.getByRole('textbox', { name: 'token' }).fill('lw_not-a-token');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('not known').waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole('textbox', { name: 'token' }).fill(tokens.read);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'things' }).waitFor();
    expect(await page.getByRole('button', { name: 'Pause things' }).isDisabled()).toBe(true);
    await page.goto(`${guarded.url}#/log`);
    await page.getByText('a test').first().waitFor();
    expect(await overflows(page)).toBe(false);
    expect(page.wrong).toEqual([]);
    await page.close();
  });
});
