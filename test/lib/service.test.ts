/** The life of services: what is harmless, in which order a list starts and stops, and what is left where one fails. */
import { Background, service, Services, type Service } from '../../activities/lib/service';

let events: string[] = [];
beforeEach(() => (events = []));

/** Says what becomes of it. */
const noting = (name: string, failing: 'start' | 'stop' | undefined = undefined): Service =>
  service({
    start: () => note(`${name} starts`, failing === 'start'),
    stop: () => note(`${name} stops`, failing === 'stop'),
  });

async function note(event: string, fails: boolean): Promise<void> {
  await Promise.resolve();
  events.push(event);
  if (fails) throw new Error(event);
}

/** Its start waits until it is let on, or interrupted. */
class Slow extends Background {
  private readonly go = new AbortController();
  letOn(): void {
    this.go.abort();
  }
  protected async open(): Promise<void> {
    events.push('slow starts');
    await new Promise((resolve) => this.go.signal.addEventListener('abort', resolve, { once: true }));
    events.push('slow has started');
  }
  protected close(): Promise<void> {
    events.push('slow stops');
    return Promise.resolve();
  }
}

class Interruptible extends Slow {
  protected override interrupt(): void {
    this.letOn();
  }
}

test('a second start and a second stop do nothing', async () => {
  const one = noting('one');
  await Promise.all([one.start(), one.start()]);
  await one.start();
  await Promise.all([one.stop(), one.stop()]);
  await one.stop();
  expect(events).toEqual(['one starts', 'one stops']);
});

test('a stop before the start does nothing, and neither does the start after it', async () => {
  for (const one of [noting('one'), new Services([noting('two')])]) {
    await one.stop();
    await one.start();
    await one.stop();
  }
  expect(events).toEqual([]);
});

test('a stop while the start is under way ends it first: by itself, or by an interruption', async () => {
  const slow = new Slow();
  void slow.start();
  const stopped = slow.stop();
  expect(events).toEqual(['slow starts']);
  slow.letOn();
  await stopped;
  const quick = new Interruptible();
  void quick.start();
  await quick.stop();
  expect(events).toEqual([...Array<string[]>(2).fill(['slow starts', 'slow has started', 'slow stops'])].flat());
});

test('a list starts in order and stops in reverse', async () => {
  const list = new Services([noting('one'), noting('two')]);
  await list.start();
  await list.add(noting('three'));
  await Promise.all([list.stop(), list.stop()]);
  expect(events).toEqual(['one starts', 'two starts', 'three starts', 'three stops', 'two stops', 'one stops']);
});

test.each([0, 1, 2, 3])('where number %i of a list cannot start, it and all before it stop', async (failing) => {
  const names = ['0', '1', '2', '3'];
  const list = new Services(names.map((name) => noting(name, Number(name) === failing ? 'start' : undefined)));
  await expect(list.start()).rejects.toThrow(`${failing} starts`);
  const begun = names.slice(0, failing + 1);
  const all = [...begun.map((name) => `${name} starts`), ...begun.reverse().map((name) => `${name} stops`)];
  expect(events).toEqual(all);
  await list.stop();
  expect(events).toEqual(all);
});

test('one that cannot be stopped keeps no other from it, and its error is the list’s', async () => {
  const list = new Services([noting('one'), noting('two', 'stop'), noting('three')]);
  await list.start();
  await expect(list.stop()).rejects.toThrow('two stops');
  expect(events.slice(3)).toEqual(['three stops', 'two stops', 'one stops']);
});

test('one that hangs in its stop is left behind after the list’s patience', async () => {
  const hanging = service({ stop: () => new Promise(() => undefined) });
  const list = new Services([noting('one'), hanging], 10);
  await list.start();
  await list.stop();
  expect(events).toEqual(['one starts', 'one stops']);
});

test('a stop while a list starts interrupts the one that is starting, and starts none after it', async () => {
  const list = new Services([noting('one'), new Interruptible(), noting('three')]);
  const started = list.start();
  while (!events.includes('slow starts')) await Promise.resolve();
  await list.stop();
  await started;
  expect(events).toEqual(['one starts', 'slow starts', 'slow has started', 'slow stops', 'one stops']);
});
