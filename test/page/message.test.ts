/**
 * A message to a member that receives, from the page, against real servers and one worker: by the tab of mail and by
 * the member's own page, with its reply, and by the command that the dialog offers.
 */
import { defineTracker } from '../../exports';
import { resolveConfig } from '../../config/resolve/config';
import type { Longwatch } from '../../client/longwatch';
import { newToken } from '../../http/who';
import { eventually, Stack } from '../support/stack';
import { describeInBrowser } from './support/browser';
import { act, cancel, confirm, RealSite } from './support/real';

/** A text that a shell, a page and a statement could each take for something of theirs. */
const ODD = `it's "$(id)" \`x\` <b>&amp;</b>\n`;

interface Room {
  state: { heard: number };
  reply(heard: number): void;
}
const CONFIG = {
  trackers: [
    defineTracker({
      name: 'rooms',
      operations: {},
      state: { initial: () => ({ heard: 0 }) },
      receive: { handle: async (_: unknown, room: Room) => room.reply(++room.state.heard) },
    }),
    defineTracker({ name: 'things', operations: { look: { every: '1m', run: async () => ({ value: 1 }) } } }),
  ],
};

describeInBrowser('a message from the page', () => {
  let site: RealSite;
  let longwatch: Longwatch;
  beforeAll(async () => {
    site = await RealSite.start(Stack.start());
    await site.stack.worker(CONFIG);
    longwatch = await site.stack.connect();
    for (const { name, options } of resolveConfig(CONFIG).trackers) await longwatch.tracker(name).start(options);
    await longwatch.tracker('things').add(['one'], { wait: true });
  });
  afterAll(() => site?.close());

  const heard = async (id: string): Promise<number | undefined> =>
    ((await longwatch.tracker('rooms').member(id).show()).state as Room['state'] | null)?.heard;

  test('to a member that it makes, to one by its page, with a reply, and by the command', async () => {
    const { url } = await site.serve({ open: true, actor: 'ana' });
    const page = await site.chromium.open(`${url}#/trackers/rooms/mail`, { expected: /404/ });
    const first = { member: 'attic', message: '{"say": "hello"}' };
    const makes = /1 message of 15 bytes .* attic, who is not there yet/;
    expect(await act(page, 'Send a message to a member of rooms', makes, first)).toContain('it is stored');
    await eventually('it is handled', async () => (await heard('attic')) === 1);
    await page.goto(`${url}#/trackers/rooms/members/attic`);
    await page.getByRole('button', { name: 'Send a message to attic of rooms' }).click();
    const dialog = page.getByRole('dialog');
    const message = dialog.getByRole('textbox', { name: 'message' });
    await message.fill('hello');
    await dialog.getByText('write the message as JSON').waitFor();
    expect(await dialog.locator('button[type=submit]').isDisabled()).toBe(true);
    // An id as other services write them: JavaScript would send another one.
    await message.fill('{"say": [175928847299117063]}');
    await dialog.getByText('has more digits than are kept').waitFor();
    await message.fill('{"say": "who?"}');
    await dialog.getByRole('combobox', { name: 'its reply' }).selectOption('is shown here');
    expect(await confirm(page, /goes to the handler of attic, behind 0 messages that wait/)).toContain(
      'the reply is 2',
    );
    await page.getByRole('button', { name: 'Send a message to attic of rooms' }).click();
    await message.fill(JSON.stringify({ say: ODD }));
    await dialog.getByText('behind 0 messages').waitFor();
    expect(await site.byCommand(page)).toMatchObject({
      status: 0,
      out: "1 message accepted for 'attic' of 'rooms'\n",
    });
    await eventually('it is handled', async () => (await heard('attic')) === 3);
    await cancel(page);
    expect(page.wrong.filter((text) => !text.includes('404'))).toEqual([]);
    await page.close();
  });

  test('not to members that do not receive, nor by who may only read', async () => {
    const reader = newToken('guest', 'read');
    const { url } = await site.serve({ tokens: reader.line });
    const page = await site.chromium.open(`${url}#/trackers/rooms/mail`, { expected: /401/ });
    await page.getByRole('textbox', { name: 'token' }).fill(reader.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    const button = page.getByRole('button', { name: /^Send a message/ });
    await button.waitFor();
    expect(await button.isDisabled()).toBe(true);
    await page.goto(`${url}#/trackers/things/members/one`);
    await page.getByRole('button', { name: 'Refetch one' }).waitFor();
    expect(await button.count()).toBe(0);
    await page.close();
  });
});
