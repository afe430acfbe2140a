/**
 * 2,000 members on three workers as processes: four senders tell them numbers while the workers are killed, drained and
 * frozen. Each number is heard once and in order, in the member's state and in what was sent because of it.
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Longwatch } from '../../client/longwatch';
import { resolveConfig } from '../../config/resolve/config';
import { eventually, Stack, type WorkerProcess } from '../support/stack';
import config, { type Heard, type rooms } from './fixtures/members.config';

const FILE = path.join(__dirname, 'fixtures/members.config.ts');
const MEMBERS = Number(process.env.LONGWATCH_MEMBERS ?? 2_000);
const SECONDS = Number(process.env.LONGWATCH_SECONDS ?? 30);
/** Numbers that one sender tells at once. */
const AT_ONCE = 40;

let stack: Stack;
let longwatch: Longwatch;
const workers = new Map<string, WorkerProcess>();

beforeAll(async () => {
  stack = await Stack.start();
  longwatch = await stack.connect();
});
afterAll(() => stack?.close());

async function begin(name: string): Promise<void> {
  const worker = stack.workerProcess(FILE, { LONGWATCH_NODE: name });
  workers.set(name, worker);
  await worker.ready;
}

/** Tells members numbers, each of them the next one of this sender, until it is told to stop. */
async function tell(sender: string, client: Longwatch, isOver: () => boolean): Promise<Map<string, number>> {
  const told = new Map<string, number>();
  const tracker = client.tracker<typeof rooms>('rooms');
  for (let round = 0; !isOver(); round++) {
    const letters = Array.from({ length: AT_ONCE }, (_, i) => {
      // All of them by and by, and some again and again.
      const id = `room-${i % 4 === 0 ? i % 8 : (round * AT_ONCE + i) % MEMBERS}`;
      const number = (told.get(id) ?? 0) + 1;
      told.set(id, number);
      return tracker.member(id).send({ sender, number }, { timeout: '60s' });
    });
    await Promise.all(letters);
  }
  return told;
}

async function faults(isOver: () => boolean): Promise<void> {
  const steps = [
    async () => {
      await workers.get('one')!.kill('SIGKILL');
      await begin('one');
    },
    async () => {
      await longwatch.node('two').drain();
      await delay(2_000);
      await longwatch.node('two').resume();
    },
    async () => {
      await workers.get('three')!.kill('SIGSTOP');
      await delay(6_000);
      await workers.get('three')!.kill('SIGCONT');
    },
  ];
  for (let i = 0; !isOver(); i++) {
    await delay(2_000);
    if (!isOver()) await steps[i % steps.length]!();
  }
}

const waiting = async (): Promise<number> =>
  (await stack.sql<{ count: number }>('select count(*)::int as count from longwatch.mail'))[0]!.count;

test(
  'each number of four senders is heard once, in order, while workers are killed, drained and frozen',
  async () => {
    await begin('one');
    for (const { name, options } of resolveConfig(config).trackers) await longwatch.tracker(name).start(options);
    await Promise.all([begin('two'), begin('three')]);
    const until = Date.now() + SECONDS * 1_000;
    const isOver = (): boolean => Date.now() > until;
    const senders = ['a', 'b', 'c', 'd'];
    const clients = await Promise.all(senders.map(() => stack.connect()));
    const going = faults(isOver);
    const told = await Promise.all(senders.map((sender, i) => tell(sender, clients[i]!, isOver)));
    await going;
    await eventually('all mail is handled', async () => (await waiting()) === 0);
    const expected = new Map<string, Record<string, number>>();
    for (const [i, numbers] of told.entries())
      for (const [id, number] of numbers) expected.set(id, { ...expected.get(id), [senders[i]!]: number });
    for (const tracker of ['rooms', 'echoes']) {
      const lives = await stack.sql<{ id: string; state: string }>(
        'select id, state from longwatch.life where tracker = $1 and state is not null',
        [tracker],
      );
      const heard = new Map(lives.map(({ id, state }) => [id, JSON.parse(state) as Heard]));
      expect([...heard.values()].flatMap(({ wrong }) => wrong)).toEqual([]);
      const missing = [...expected].filter(
        ([id, last]) => JSON.stringify(sorted(heard.get(id)?.last)) !== JSON.stringify(sorted(last)),
      );
      expect(missing.slice(0, 5)).toEqual([]);
      expect(heard.size).toBe(expected.size);
    }
    expect(await stack.sql('select member, error from longwatch.member_dead limit 5')).toEqual([]);
    const count = [...expected.values()].flatMap((one) => Object.values(one)).reduce((sum, one) => sum + one, 0);
    process.stderr.write(`${count} numbers to ${expected.size} members in ${SECONDS} s\n`);
  },
  (SECONDS + 180) * 1_000,
);

const sorted = (of: Record<string, number> = {}) => Object.entries(of).sort(([a], [b]) => a.localeCompare(b));
