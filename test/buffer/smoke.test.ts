import { defineBuffer, type BufferDefinition } from '../../workers/config/buffer';
import { resolveDefinition } from '../../workers/config/resolve-buffers';
import { eventually, Stack } from '../support/stack';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
}, 60_000);
afterAll(() => stack.close());

test('smoke', async () => {
  const seen: number[] = [];
  const def = defineBuffer({
    name: 'numbers',
    run: (entries: { n: number; pad: string }[]) => {
      for (const e of entries) seen.push(e.n);
    },
  });
  await stack.worker({ buffers: [def] });
  const lw = await stack.connect();
  const t0 = Date.now();
  await lw.buffer('numbers').start(resolveDefinition(def as unknown as BufferDefinition, []).options);
  console.log('start', Date.now() - t0);
  for (const N of [10, 50_000, 50_000, 200_000]) {
    seen.length = 0;
    const t = Date.now();
    const r = await lw.buffer(def).push(Array.from({ length: N }, (_, n) => ({ n, pad: 'x'.repeat(40) })));
    const tp = Date.now() - t;
    await eventually('all', () => seen.length >= N, 60_000);
    const ms = Date.now() - t;
    console.log(N, 'pushed', tp, 'handled', ms, Math.round((N / ms) * 1000), '/s', r);
    const s = await eventually('done', async () => {
      const s = await lw.buffer('numbers').status();
      return s.pending + s.running === 0 && s;
    });
    console.log(JSON.stringify({ ...s, shards: s.shards.map((x) => [x.accepted, x.runs]) }));
  }
}, 120_000);
