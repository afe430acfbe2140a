/**
 * A worker process of the durable tests, to be killed, frozen, or given a wrong clock: a node without Temporal. Told
 * what to do by lines on stdin, says what happened by lines on stdout. Started by `chaos.test.ts`.
 */
import { createInterface } from 'node:readline';
import { TestNode, typeOf } from './harness';
import { orderCalls } from './orders';

const offset = Number(process.env.CLOCK_OFFSET_MS ?? 0);
if (offset !== 0) {
  const Real = Date;
  class Wrong extends Real {
    constructor(...given: unknown[]) {
      if (given.length === 0) super(Real.now() + offset);
      else super(...(given as [number]));
    }
    static override now(): number {
      return Real.now() + offset;
    }
  }
  globalThis.Date = Wrong as DateConstructor;
}

const TTL_MS = Number(process.env.LEASE_TTL_MS ?? 5_000);
const node = new TestNode(process.env.DATABASE_URL!, process.env.NODE_NAME!);
const say = (...words: unknown[]): void => void process.stdout.write(`${words.map(String).join(' ')}\n`);

/** Takes a task, says so, and goes on when told to, after however long. */
async function hold(task: string, form: 'inside' | 'outside'): Promise<void> {
  const ended = await node
    .call({
      task,
      // A machine that stands still for a moment loses no lease.
      ttlMs: TTL_MS,
      renewMs: 500,
      run: async ({ tx }) => {
        if (form === 'inside') await tx.query('insert into effect values ($1, $2)', [task, node.owner]);
        say('holds', task);
        await new Promise<void>((resolve) => releases.push(resolve));
        if (form === 'inside') await tx.query('insert into effect values ($1, $2)', [task, node.owner]);
        return node.owner;
      },
    })
    .then(
      () => 'completed',
      (error: unknown) => String(typeOf(error)),
    );
  say('ended', task, ended);
}
const releases: (() => void)[] = [];

/** An order: its steps one after the other, each called again until it is done. */
async function order(id: string): Promise<void> {
  for (const call of orderCalls(id)) await node.callAgain(call);
  say('order', id);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, what, form] = line.split(' ');
  if (verb === 'hold') void hold(what!, form as 'inside');
  else if (verb === 'go') for (const release of releases.splice(0)) release();
  else if (verb === 'order') order(what!).catch((error: unknown) => say('broken', what, error));
});
say('ready');
