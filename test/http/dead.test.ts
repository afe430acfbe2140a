/** Dead letters in pages, on a real database: each once, in their order, and never more bytes than a page has. */
import { Desk } from './desk';

interface Listed {
  items: { id: string; value: string }[];
  next: string | null;
}

let desk: Desk;
beforeAll(async () => {
  desk = await Desk.start();
  // Letters that died in the same microsecond, and larger ones than a page has room for together.
  await desk.stack.sql(
    `insert into longwatch.buffer_dead (buffer, shard, entry, value, key, error, errors, attempts, died_at)
     select 'mail', n % 2, n, to_json(repeat('x', case when n between 20 and 24 then 3000000 else 10 end)), null, 'no',
            '[]', 1, now() - interval '1 hour' + (n / 3) * interval '1 microsecond'
     from generate_series(1, 50) n`,
  );
});
afterAll(() => desk?.close());

const page = async (query: string): Promise<Listed> => {
  const { status, body } = await desk.ask(`/buffers/mail/dead?${query}`);
  expect({ status, body }).toMatchObject({ status: 200 });
  return body as Listed;
};

test.each([1, 3, 7, 50, 51, 1_000])('in pages of %i', async (limit) => {
  const whole = await desk.stack.sql<{ id: string }>(
    `select shard || '-' || entry as id from longwatch.buffer_dead order by died_at, shard, entry`,
  );
  const seen: string[] = [];
  for (let next: string | null = ''; next !== null;) {
    const { items, next: then }: Listed = await page(`limit=${limit}${next && `&after=${next}`}`);
    expect(items.length).toBeLessThanOrEqual(limit);
    const sizes = items.map(({ value }) => value.length);
    // One more than has room is the most.
    expect(sizes.slice(0, -1).reduce((sum, size) => sum + size, 0)).toBeLessThan(4 * 1024 * 1024);
    seen.push(...items.map(({ id }) => id));
    next = then;
  }
  expect(seen).toEqual(whole.map(({ id }) => id));
});

test.each([
  'x',
  'W10',
  Buffer.from('[1,99999999999,1]').toString('base64url'),
  Buffer.from('[1.5,0,1]').toString('base64url'),
])('%s is not a cursor of it', async (after) => {
  expect(await desk.ask(`/buffers/mail/dead?after=${after}`)).toMatchObject({
    status: 400,
    body: { error: { code: 'InvalidCursor' } },
  });
});
