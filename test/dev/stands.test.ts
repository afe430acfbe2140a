/** A file gets a place at the stand of its worker, and what goes wrong with one fails no other file. No servers. */
import { Stands, type OneStand } from '../support/stands';
import type { Place } from '../support/servers';

class FakeStand implements OneStand {
  isUsedUp = false;
  stopped = false;
  readonly left: string[] = [];
  fails: keyof OneStand | undefined;

  constructor(readonly name: string) {}

  place(): Promise<Place> {
    return this.unless('place', { temporalAddress: this.name, namespace: 'place_1', databaseUrl: this.name });
  }

  leave({ namespace }: Place): Promise<void> {
    this.left.push(namespace);
    return this.unless('leave', undefined);
  }

  stop(): Promise<void> {
    this.stopped = true;
    return this.unless('stop', undefined);
  }

  private unless<T>(what: keyof OneStand, answer: T): Promise<T> {
    return this.fails === what ? Promise.reject(new Error(`${what} fails`)) : Promise.resolve(answer);
  }
}

let begun: FakeStand[];
let stands: Stands;
let address: string;
beforeEach(async () => {
  begun = [];
  stands = new Stands(() => {
    begun.push(new FakeStand(`stand ${begun.length + 1}`));
    return Promise.resolve(begun.at(-1)!);
  });
  address = await stands.start();
});
afterEach(() => stands.stop());

async function place(worker = '1'): Promise<Place> {
  const response = await fetch(`${address}/${worker}`, { method: 'POST' });
  expect(response.status).toBe(200);
  return (await response.json()) as Place;
}
const leave = (of: Place, worker = '1') =>
  fetch(`${address}/${worker}`, { method: 'DELETE', body: JSON.stringify(of) });

test('the files of a worker have one stand, those of another one another', async () => {
  expect((await place()).temporalAddress).toBe('stand 1');
  expect((await place('2')).temporalAddress).toBe('stand 2');
  expect((await place()).temporalAddress).toBe('stand 1');
});

test('one that is used up is stopped, and a new one has its place, also where it cannot be stopped', async () => {
  await place();
  begun[0]!.isUsedUp = true;
  begun[0]!.fails = 'stop';
  expect((await place()).temporalAddress).toBe('stand 2');
  expect(begun[0]!.stopped).toBe(true);
});

test('one that cannot give a place is replaced', async () => {
  await place();
  begun[0]!.fails = 'place';
  expect((await place()).temporalAddress).toBe('stand 2');
  expect(begun[0]!.stopped).toBe(true);
});

test('a file whose place cannot be left as it should has passed, and the next one has another stand', async () => {
  const mine = await place();
  begun[0]!.fails = 'leave';
  expect((await leave(mine)).status).toBe(200);
  expect((await place()).temporalAddress).toBe('stand 2');
});

test('a place is left at its own stand: by then there may be another one', async () => {
  const mine = await place();
  begun[0]!.isUsedUp = true;
  await place();
  await leave(mine);
  expect(begun.map(({ left }) => left)).toEqual([[], []]);
});

test('in the end all are stopped, whichever cannot be', async () => {
  await place();
  await place('2');
  begun[0]!.fails = 'stop';
  await stands.stop();
  expect(begun.map(({ stopped }) => stopped)).toEqual([true, true]);
});

test('no connection is used for two requests: one that the server has just closed would fail the second one', async () => {
  const response = await fetch(`${address}/1`, { method: 'POST' });
  expect(response.headers.get('connection')).toBe('close');
});
