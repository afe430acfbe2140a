/** The promises of a shared bucket, held against what a history came to. Called by the simulations of `..`. */
import { usable, type History, type Outcome } from './world';

/** A limit that nobody tells is felt for, and that takes refusals. */
const isFelt = (history: History): boolean => history.learned && history.lostHeaders > 0;

/**
 * @param several what runs of several requests may cost: tokens that are set aside and not used, as a share, and
 *   refusals until a lowered limit is found out, as a factor
 * @returns those that were broken
 */
export function promises(history: History, outcome: Outcome, several = { tokens: 0, refusals: 1 }): string[] {
  const broken: string[] = [];
  const expect = (holds: boolean, what: string): void => void (holds || broken.push(what));
  const { requests, refused, refusedByUs, used, uncovered } = outcome;
  if (history.lowered < 1) {
    // Nobody was told before. Requests under way and tokens in hand come too late; then refusals teach it, without a
    // word some more.
    const silent = !history.headers || history.lostHeaders > 0 || history.shape === 'concurrent';
    expect(
      refusedByUs <= several.refusals * (silent ? 50 : 3 + history.nodes),
      `${refusedByUs} refused after the limit was lowered`,
    );
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
  // A clock that is set, whether forward or back, is none of the nodes' business.
  const isWell = history.fault === 'none' || history.fault === 'database clock';
  const isPlain = isWell && history.others === 0 && history.lyingHeaders === 0;
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
      usable(history) -
      0.05 -
      0.1 * history.latency -
      8 / history.tokens -
      (history.lostHeaders > 0 ? 0.1 : 0) -
      several.tokens;
    expect(used >= least, `only ${used.toFixed(2)} of the tokens were used, of ${least.toFixed(2)}`);
  }
  return broken;
}
