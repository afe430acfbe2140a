/**
 * The rarer actions of the page, against real servers and two nodes: pools that move, a balance that moves them, sagas
 * to mend, keys, buckets, rows of a sweep, letters of members and of a buffer in bulk by a filter. Each says its
 * consequence, leaves its row in the audit, and is offered as a command that the command line takes as it is.
 */
import { Client } from 'pg';
import type { Page } from 'playwright-core';
import { defineBuffer, defineSweep, defineTracker } from '../../exports';
import { defineUpstream } from '../../exports/upstream';
import { resolveConfig } from '../../config/resolve/config';
import type { Longwatch } from '../../client/longwatch';
import type { Served } from '../../http/serve';
import { config as durableConfig, startDurable, type DurableStack } from '../durable/stack';
import { writeBuckets } from '../support/buckets';
import { eventually, type Stack } from '../support/stack';
import { unheard } from '../support/unheard';
import { type Chromium, describeInBrowser } from './support/browser';
import { act, cancel, confirm, RealSite, undo } from './support/real';

/** A name that a shell, a page and a statement could each take for something of theirs. */
const ODD = `it's "$(id)" \`x\` <b>&amp;</b>`;

/** One pool each, and the same load: two nodes have one of them each, and a move of one alone is not taken back. */
const one = (name: string) =>
  defineTracker({ name, operations: { look: { every: '1s', run: async () => ({ value: name }) } } });

let isMended = false;
const mended = (): void => {
  if (!isMended) throw new Error('the handler is broken');
};

const CONFIG = {
  ...durableConfig,
  trackers: [
    one('lone'),
    one('twin'),
    defineTracker({
      name: 'rooms',
      operations: {},
      state: { initial: () => ({ heard: 0 }) },
      receive: {
        attempts: 1,
        handle: async (message: { fail?: string }, { state }: { state: { heard: number } }) => {
          if (message.fail !== undefined && !isMended) throw new Error(message.fail);
          state.heard++;
        },
      },
    }),
  ],
  buffers: [
    defineBuffer<string>({
      name: 'mail',
      maxBatchSize: 1,
      retry: { attempts: 1 },
      run: async ([entry]) => {
        if (!isMended) throw new Error(`${entry}: no answer`);
      },
    }),
  ],
  sweeps: [
    defineSweep({
      name: 'combats',
      every: '366d',
      table: 'combat',
      due: 'ends = 0',
      retry: { attempts: 1, base: '10ms' },
      handle: async (rows, { tx }) => {
        mended();
        await tx.query('update combat set ends = ends + 1 where id = any($1::int[])', [rows.map(({ id }) => id)]);
      },
    }),
  ],
  upstreams: [
    defineUpstream({
      name: 'esi',
      origin: 'http://127.0.0.1:9',
      limits: { errors: { key: 'address', tokens: 100, window: '1m' } },
    }),
  ],
};

describeInBrowser('the rarer actions on the page', () => {
  let site: RealSite;
  let durable: DurableStack;
  let stack: Stack;
  let chromium: Chromium;
  let longwatch: Longwatch;
  let open: Served;

  beforeAll(async () => {
    durable = await startDurable();
    site = await RealSite.start(Promise.resolve(durable.stack));
    ({ stack, chromium } = site);
    await stack.sql('create table combat (id int primary key, ends int not null default 0)');
    await stack.sql('insert into combat select generate_series(1, 3)');
    await stack.worker(CONFIG, { workflowBundle: durable.bundle, nodeName: 'left' });
    longwatch = await stack.connect();
    const { trackers, buffers, jobs } = resolveConfig(CONFIG);
    for (const { name, options } of trackers) await longwatch.tracker(name).start(options);
    for (const { name, options } of buffers) await longwatch.buffer(name).start(options);
    for (const { name, options } of jobs) await longwatch.job(name).start(options);
    const ids = Array.from({ length: 40 }, (_, i) => `id-${i}`);
    for (const name of ['lone', 'twin']) await longwatch.tracker(name).add(ids, { wait: true });
    open = await site.serve({ open: true, actor: 'ana' });
  });
  afterAll(async () => {
    await site?.chromium.close();
    await open?.stop();
    await durable?.close();
  });

  const leave = async (page: Page & { wrong: string[] }): Promise<void> => {
    expect(page.wrong).toEqual([]);
    await page.close();
  };
  const nodeOf = async (tracker: string): Promise<string | null> =>
    (await longwatch.tracker(tracker).pools())[0]?.node ?? null;

  test('a balance that moves a pool says so in numbers first, for each node, and then how many it has moved', async () => {
    const page = await chromium.open(`${open.url}#/nodes`);
    await eventually(
      'left keeps both',
      async () => (await nodeOf('lone')) === 'left' && (await nodeOf('twin')) === 'left',
    );
    // Nodes balance by themselves, faster than a person.
    await unheard(stack, 'right', async () => {
      await stack.worker(CONFIG, { workflowBundle: durable.bundle, nodeName: 'right' });
      await eventually('there is something to move', async () => (await longwatch.previewRebalance()).moves.length > 0);
      await page.getByRole('button', { name: 'Rebalance' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText(/^\d pools? with 40 members moves?; each is without a node for about a tenth/).waitFor();
      expect(await dialog.locator('.consequence').innerText()).toMatch(/left: 3 → [12] pools\s+right: 0 → [12] pools/);
      expect(await confirm(page, /with 40 members/)).toMatch(/[12] pools? moved/);
    });
    expect(await site.listed('rebalance')).toMatchObject({
      ...{ actor: 'ana', via: 'http', subject: 'cluster', outcome: 'done' },
    });
    expect([await nodeOf('lone'), await nodeOf('twin')].sort()).toEqual(['left', 'right']);
    await leave(page);
  });

  test('a pool that moves: its members are counted, it is with the other node then, and comes back', async () => {
    await longwatch.tracker('twin').stop();
    await eventually('it is kept', async () => (await nodeOf('lone')) !== null);
    const from = (await nodeOf('lone'))!;
    const to = from === 'left' ? 'right' : 'left';
    const page = await chromium.open(`${open.url}#/trackers/lone/pools`);
    expect(await act(page, 'Move pool 0 of lone', new RegExp(`40 members go from ${from} to ${to}`))).toContain(
      `pool 0 is with ${to}`,
    );
    expect(await nodeOf('lone')).toBe(to);
    expect(await site.listed('move')).toMatchObject({ subject: 'pool/lone/0', via: 'http', outcome: 'done' });
    await undo(page);
    expect(await confirm(page, new RegExp(`40 members go from ${to} to ${from}`))).toContain(`pool 0 is with ${from}`);
    await page.getByRole('button', { name: 'Move pool 0 of lone' }).click();
    await page
      .getByRole('dialog')
      .getByText(/40 members go from/)
      .waitFor();
    expect(await site.byCommand(page)).toMatchObject({ status: 0, err: '' });
    expect(await nodeOf('lone')).toBe(to);
    // The dialog asks again: what somebody else has done meanwhile is nothing to do any more.
    await page.getByRole('dialog').getByText(`it is with ${to} already`).waitFor();
    await cancel(page);
    await leave(page);
  });

  test('a bucket is closed and opened, each taken back; the command closes it as well', async () => {
    const db = new Client({ connectionString: stack.servers.databaseUrl });
    await db.connect();
    await writeBuckets(db, [{ upstream: 'esi', limit: 'errors', key: '10.0.0.7', tokens: 100, window: 60, spent: 1 }]);
    await db.end();
    const closedMs = async () => (await longwatch.budget.show('esi/errors:10.0.0.7')).closedMs;
    const page = await chromium.open(`${open.url}#/upstreams/esi`);
    expect(
      await act(page, 'Close esi/errors:10.0.0.7', /No node sends for it for 5 min/, { why: 'they ask' }),
    ).toContain('1 bucket closed');
    expect(await closedMs()).toBeGreaterThan(200_000);
    expect(await site.listed('budget close')).toMatchObject({
      subject: 'upstream/esi',
      why: 'they ask',
      outcome: 'done',
    });
    await undo(page);
    expect(await confirm(page, /It is closed for another \d+ min/)).toContain('1 bucket opened');
    expect(await closedMs()).toBe(0);
    expect((await site.listed('budget open')).outcome).toBe('done');
    await undo(page);
    const dialog = page.getByRole('dialog');
    // As long as it was closed before.
    expect(await dialog.locator('input').first().inputValue()).toMatch(/^(2\d\d|300)s$/);
    await dialog.getByText(/No node sends for it/).waitFor();
    expect(await site.byCommand(page)).toMatchObject({ status: 0 });
    expect(await closedMs()).toBeGreaterThan(200_000);
    await cancel(page);
    await leave(page);
  });

  test('sagas to mend: one is tried again and is mended, one was mended by hand', async () => {
    const fails = (id: string, failUndo: number | 'for good') =>
      durable.run('order', [{ pay: { id, failUndo }, ship: { id }, mail: { id, fail: 'for good' } }], `order-${id}`);
    await Promise.allSettled([fails('17', 3), fails('18', 'for good')]);
    await eventually('both are broken', async () => (await longwatch.durable.brokenCompensations()).length === 2);
    const page = await chromium.open(`${open.url}#/activities`);
    const row = (saga: string) => page.getByRole('row').filter({ hasText: saga });
    await row('order-17')
      .getByRole('button', { name: /^Retry/ })
      .click();
    expect(await confirm(page, /failed after 3 attempts runs again/, { why: 'the bank is back' })).toContain(
      'it runs as workflow',
    );
    expect(await site.listed('saga retry')).toMatchObject({ why: 'the bank is back', outcome: 'done' });
    await eventually('it is mended', async () => (await longwatch.durable.brokenCompensations()).length === 1);
    await row('order-17').waitFor({ state: 'detached' });
    await row('order-18')
      .getByRole('button', { name: /^Resolve/ })
      .click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('write what was done by hand').waitFor();
    await dialog.getByRole('textbox', { name: 'what was done by hand' }).fill(ODD);
    await dialog.getByText('is counted as done, and never runs again').waitFor();
    expect(await site.byCommand(page)).toMatchObject({ status: 0, out: 'resolved\n' });
    expect(await site.listed('saga resolve')).toMatchObject({ via: 'cli', outcome: 'done' });
    await cancel(page);
    await page.getByText('No compensation has failed for good.').waitFor();
    await leave(page);
  });

  test('a key is looked up, and forgotten: then it is not there any more', async () => {
    await durable.run('payOnce', [{ id: '42' }]);
    const page = await chromium.open(`${open.url}#/activities`, { expected: /404/ });
    const look = async (): Promise<void> => {
      await page.getByLabel('activity').fill('pay');
      await page.getByLabel('key', { exact: true }).fill('pay 42');
      await page.getByRole('button', { name: 'Look it up' }).click();
    };
    await look();
    await page.getByText('receipt of 42').waitFor();
    expect(await act(page, 'Forget the key pay 42 of pay', /the next call with it runs the activity again/)).toContain(
      'it is forgotten',
    );
    expect(await site.listed('keys delete')).toMatchObject({ subject: 'key/pay/pay 42', outcome: 'done' });
    await page.getByRole('alert').getByText('Not read').waitFor();
    await durable.run('payOnce', [{ id: '42' }]);
    expect(await stack.sql(`select 1 from booking where id = '42' and what = 'pay'`)).toHaveLength(2);
    await leave(page);
  });

  test('rows of a sweep that failed: one alone by the page, the others by the command', async () => {
    isMended = false;
    await longwatch.job('combats').run();
    const page = await chromium.open(`${open.url}#/jobs/combats/failed`);
    const row = page.getByRole('row').filter({ hasText: 'the handler is broken' });
    await eventually('three failed', async () => (await row.count()) === 3);
    isMended = true;
    await row.first().getByRole('button', { name: 'Retry 1 row of combats' }).click();
    expect(await confirm(page, /1 row of 3 that failed is handled again/)).toContain('1 row will be handled when due');
    expect(await site.listed('retry')).toMatchObject({ subject: 'job/combats', outcome: 'done' });
    await page.getByRole('button', { name: 'Retry all failed rows of combats' }).click();
    await page
      .getByRole('dialog')
      .getByText(/2 rows of 2 that failed/)
      .waitFor();
    expect(await site.byCommand(page)).toMatchObject({
      status: 0,
      out: expect.stringMatching(/^2 dead letters/) as string,
    });
    await cancel(page);
    expect((await longwatch.job('combats').run()).rows).toBe(3);
    await leave(page);
  });

  test('letters of members, in bulk: by their error, by their member, and those that were chosen', async () => {
    isMended = false;
    const rooms = longwatch.tracker('rooms');
    for (const [member, fail] of [
      ['lobby', 'no such song'],
      ['lobby', 'too loud'],
      ['cellar', 'no such song'],
      [ODD, 'too dark'],
    ] as const)
      // prettier-ignore
      await rooms.member(member).send({ fail });
    await eventually('four died', async () => (await rooms.dead.count()) === 4);
    const page = await chromium.open(`${open.url}#/trackers/rooms`);
    await page.getByRole('link', { name: 'Mail', exact: true }).click();
    await page.getByLabel('Only where the error contains').fill('song');
    await page.getByText('all 2 of these:').waitFor();
    isMended = true;
    expect(
      await act(page, "Retry the dead letters whose error is like 'song' of rooms", /2 messages become mail again/),
    ).toContain('2 messages mail again');
    expect(await site.listed('dead retry')).toMatchObject({ subject: 'tracker/rooms', outcome: 'done' });
    await page.getByText('There is no such dead letter.').waitFor();
    await page.getByLabel('Only where the error contains').fill('');
    await page.getByLabel('Only of this member').fill(ODD);
    await page.getByText('all 1 of these:').waitFor();
    await page.getByRole('button', { name: /^Drop the dead letters of it's/ }).click();
    await page.getByRole('dialog').getByText('1 message is deleted').waitFor();
    expect(await site.byCommand(page)).toMatchObject({ status: 0, out: '1 dead letter dropped\n' });
    expect(await site.listed('dead drop')).toMatchObject({ via: 'cli', outcome: 'done' });
    await page.getByRole('dialog').getByText('there is no such dead letter any more').waitFor();
    await cancel(page);
    await page.getByLabel('Only of this member').fill('');
    await page.getByRole('checkbox').first().check();
    expect(await act(page, 'Drop 1 dead letter of rooms', /1 message is deleted: nothing is left/)).toContain(
      '1 message dropped',
    );
    expect(await rooms.dead.count()).toBe(0);
    await leave(page);
  });

  test('letters of a buffer, in bulk by a filter and by a kind of error; two people choose the same ones', async () => {
    isMended = false;
    const mail = longwatch.buffer('mail');
    await mail.push(['ana 1', 'ana 2', 'ben 1', 'eve 1'], { wait: true });
    await eventually('four died', async () => (await mail.dead.count()) === 4);
    const at = `${open.url}#/buffers/mail/dead?error=ana`;
    const [ana, ben] = [await chromium.open(at), await chromium.open(at)];
    for (const page of [ana, ben]) {
      await page.getByText('all 2 of this error:').waitFor();
      await page.getByRole('button', { name: "Drop the dead letters whose error is like 'ana' of mail" }).click();
      await page.getByRole('dialog').getByText('2 entries become dropped').waitFor();
    }
    expect(await confirm(ana, /2 entries/)).toContain('2 entries dropped');
    // Nobody knows which ones a filter has met: that is not offered to be taken back.
    expect(await ana.locator('.outcome').getByRole('button', { name: 'undo' }).count()).toBe(0);
    await ben.getByRole('dialog').getByText('there is no such dead letter any more').waitFor();
    expect(await ben.getByRole('dialog').locator('button[type=submit]').isDisabled()).toBe(true);
    expect(await site.listed('dead drop')).toMatchObject({ subject: 'buffer/mail', outcome: 'done' });
    isMended = true;
    await ana.goto(`${open.url}#/buffers/mail/dead`);
    await ana
      .getByRole('button', { name: /^Retry the dead letters whose error is like/ })
      .first()
      .click();
    await ana
      .getByRole('dialog')
      .getByText(/(y becomes|ies become) pending again/)
      .waitFor();
    expect(await site.byCommand(ana)).toMatchObject({ status: 0 });
    expect(await site.listed('dead retry')).toMatchObject({ subject: 'buffer/mail', via: 'cli', outcome: 'done' });
    expect([...ana.wrong, ...ben.wrong]).toEqual([]);
    await Promise.all([ana.close(), ben.close()]);
  });
});
