/** The page of the example chat in a real browser: two tabs in one room, on nodes of which one is killed. */
import path from 'node:path';
import type { Page } from 'playwright-core';
import config from '../../../examples/chat/longwatch.config';
import { Front } from '../../../examples/chat/front';
import { rooms } from '../../../examples/chat/rooms';
import { resolveConfig, type Longwatch } from '../../../exports';
import { Chromium, describeInBrowser, violations } from '../../page/support/browser';
import { eventually, Stack, type WorkerProcess } from '../../support/stack';

const CONFIG = path.join(__dirname, '../../../examples/chat/longwatch.config.ts');

describeInBrowser("the chat's page", () => {
  let stack: Stack;
  let longwatch: Longwatch;
  let front: Front;
  let address: string;
  let chromium: Chromium;
  const nodes = new Map<string, WorkerProcess>();
  beforeAll(async () => {
    chromium = await Chromium.launch();
    stack = await Stack.start();
    const started = ['one', 'two'].map((name) => ({
      name,
      node: stack.workerProcess(CONFIG, { LONGWATCH_NODE: name }),
    }));
    for (const { name, node } of started) {
      await node.ready;
      nodes.set(name, node);
    }
    longwatch = await stack.connect();
    for (const { name, options } of resolveConfig(config).trackers) await longwatch.tracker(name).start(options);
    front = new Front(longwatch);
    address = await front.start();
  });
  afterAll(async () => {
    await front?.close();
    await stack?.close();
    await chromium?.close();
  });

  /** @param expected errors in the console that belong to the test */
  async function enter(user: string, room: string, expected?: RegExp): Promise<Page & { wrong: string[] }> {
    const page = await chromium.open(address, { expected });
    await page.getByLabel('room').fill(room);
    await page.getByLabel('you').fill(user);
    await page.getByRole('button', { name: 'enter' }).click();
    return page;
  }

  async function say(page: Page, text: string): Promise<void> {
    await page.getByLabel('what to say').fill(text);
    await page.getByRole('button', { name: 'say' }).click();
  }

  const linesOf = (page: Page): Promise<string[]> => page.locator('#lines li').allInnerTexts();
  const state = (page: Page, text: string | RegExp): Promise<void> =>
    page.getByRole('status').filter({ hasText: text }).waitFor();

  test('two tabs show what both say, once and in one order, while the node that keeps the room is killed', async () => {
    const ana = await enter('ana', 'lobby');
    await state(ana, 'here: ana');
    const bo = await enter('bo', 'lobby');
    for (const page of [ana, bo]) await state(page, 'here: ana, bo');
    const sayEach = async (from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) {
        await say(ana, `ana ${i}`);
        await say(bo, `<b>bo</b> ${i}`);
      }
    };
    await sayEach(0, 3);
    const { node } = await eventually('a node keeps the room', async () => {
      const place = await longwatch.tracker(rooms).where('lobby');
      return place.state === 'kept' && place;
    });
    await nodes.get(node!)!.kill('SIGKILL');
    await sayEach(3, 6);
    await eventually('both tabs show all of it', async () => {
      const shown = await Promise.all([ana, bo].map(linesOf));
      return shown.every((lines) => lines.length === 12);
    });
    const lines = await linesOf(ana);
    expect(await linesOf(bo)).toEqual(lines);
    expect(lines.map((line) => parseInt(line, 10))).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    for (const [by, text] of [
      ['ana', 'ana'],
      ['bo', '<b>bo</b>'],
    ]) {
      const own = lines.map((line) => line.replace(/^\d+\s*/, '')).filter((line) => line.startsWith(by!));
      expect(own.map((line) => line.slice(by!.length).trim())).toEqual([0, 1, 2, 3, 4, 5].map((i) => `${text} ${i}`));
    }
    expect(await violations(ana)).toEqual([]);
    expect([...ana.wrong, ...bo.wrong]).toEqual([]);
    for (const page of [ana, bo]) await page.context().close();
  });

  test('a front that went away says so, and who enters again sees what was said', async () => {
    const page = await enter('cy', 'hall', /WebSocket/);
    await state(page, 'here: cy');
    await say(page, 'before');
    await page.getByText('before').waitFor();
    await front.close();
    await state(page, 'The connection is lost; enter again');
    expect(await page.getByLabel('what to say').isVisible()).toBe(false);
    front = new Front(longwatch);
    await front.start(Number(new URL(address).port));
    await page.getByRole('button', { name: 'enter' }).click();
    await page.getByText('before').waitFor();
    await say(page, 'after');
    await page.getByText('after').waitFor();
    expect((await linesOf(page)).map((line) => parseInt(line, 10))).toEqual([1, 2]);
    expect(page.wrong).toEqual([]);
    await page.context().close();
  });

  test('a name that cannot be is said to be wrong, and nothing can be said', async () => {
    const page = await enter('an a', 'lobby', /WebSocket/);
    await state(page, 'The room did not open. A name has letters, digits');
    expect(await page.getByLabel('what to say').isVisible()).toBe(false);
    expect(page.wrong).toEqual([]);
    await page.context().close();
  });
});
