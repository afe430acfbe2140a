/**
 * A shared bucket through thousands of histories: never above the limit by what we send, and no token idle while
 * somebody waits.
 */
import { simulate } from '../../support/simulate';
import { Draws } from '../../support/draws';
import { BudgetWorld, draw, usable, type History, type Outcome } from './world/world';

/** A limit that nobody tells is felt for, and that takes refusals. */
const isFelt = (history: History): boolean => history.learned && history.lostHeaders > 0;

function promises(history: History, outcome: Outcome): string[] {
  const broken: string[] = [];
  const expect = (holds: boolean, what: string): void => void (holds || broken.push(what));
  const { requests, refused, refusedByUs, used, uncovered } = outcome;
  if (history.lowered < 1) {
    // Nobody was told before. Requests under way and tokens in hand come too late; then refusals teach it, without a
    // word some more.
    const silent = !history.headers || history.lostHeaders > 0 || history.shape === 'concurrent';
    expect(refusedByUs <= (silent ? 50 : 3 + history.nodes), `${refusedByUs} refused after the limit was lowered`);
    return broken;
  }
  if (isFelt(history)) return broken;
  expect(refusedByUs === 0, `${refusedByUs} refused of what we sent`);
  // Others may spend between our look and our request.
  if (history.others > 0) expect(refused <= 3 + requests / 50, `${refused} refused of ${requests} beside others`);
  // A limit that is learned has the headers' word on its window; the account alone may believe in another one.
  expect(
    history.learned || uncovered <= 1e-6,
    `the upstream counts ${uncovered.toFixed(1)} tokens that the account does not cover`,
  );
  const isPlain = history.fault === 'none' && history.others === 0 && history.lyingHeaders === 0;
  if (isPlain && history.nodes > 1 && requests / history.nodes >= 60)
    expect(outcome.poorest >= 0.25, `one node had ${outcome.poorest.toFixed(2)} of an equal share`);
  if (
    isPlain &&
    history.shape !== 'concurrent' &&
    history.demand >= 1.5 &&
    !history.errors &&
    history.tokens >= 60 &&
    history.window >= 60
  ) {
    // Measured over parts of windows, and with reservations of the greatest cost while answers are on their way.
    const least =
      usable(history) - 0.05 - 0.1 * history.latency - 8 / history.tokens - (history.lostHeaders > 0 ? 0.1 : 0);
    expect(used >= least, `only ${used.toFixed(2)} of the tokens were used, of ${least.toFixed(2)}`);
  }
  return broken;
}

simulate(
  'a bucket of several nodes: nothing above the limit, whatever crashes, freezes, is cut off, lies or is lost',
  (seed) => {
    const history = draw(seed);
    const broken = promises(history, new BudgetWorld(history).live());
    if (broken.length > 0) throw new Error(`${broken.join('; ')}\n${JSON.stringify(history)}`);
  },
  { histories: 60 },
);

simulate(
  'a limit that nobody tells is felt for: most of it is used, and few requests are refused',
  (seed) => {
    const draws = new Draws(seed);
    const shape = draws.one(['floating', 'fixed', 'leaky'] as const);
    const history: History = {
      ...draw(seed),
      shape,
      tokens: draws.one([120, 300, 600]),
      window: 60,
      windows: 30,
      nodes: draws.one([1, 3, 5]),
      fault: 'none',
      headers: false,
      lostHeaders: 0,
      lyingHeaders: 0,
      learned: true,
      others: 0,
      errors: false,
      lowered: 1,
      demand: 4,
      latency: 0.1,
    };
    const { requests, refused, used } = new BudgetWorld(history).live();
    // Half an hour; the rate that is right was refused now and then.
    if (refused > 200 || used < 0.35)
      throw new Error(`${refused} of ${requests} refused, ${used.toFixed(2)} used\n${JSON.stringify(history)}`);
  },
  { histories: 6 },
);
