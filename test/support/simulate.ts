/**
 * How many histories a simulated world lives through, and from which seed. Every simulation asks here: CI runs 2,000
 * under the seed of the day, `npm run soak` 100,000. A history that failed is repeated by the seed and path in its
 * message: `LONGWATCH_SEED=20261128 npx jest -t 'its name'`.
 */
import fc, { type Parameters } from 'fast-check';

/** Changes once a day, so that CI sees new histories and a failure can still be repeated. UTC, as 20261128. */
const SEED_OF_THE_DAY = Number(new Date().toISOString().slice(0, 10).replaceAll('-', ''));

export const SEED = numberFrom('LONGWATCH_SEED') ?? SEED_OF_THE_DAY;

/** A world costs at most 20 s of CPU in CI; on a machine with much else to do that is many minutes. */
const TIMEOUT_MS = 900_000;

/**
 * For `fc.assert`: the number of histories and the seed.
 * @param histories in CI; LONGWATCH_HISTORIES (of soak) says how many there are where that many are fast: a world that
 *   costs more than the others gives its share of 2,000, and gets the same share of what soak asks for
 */
export function histories<T>(histories = 2_000, more: Parameters<T> = {}): Parameters<T> {
  const asked = numberFrom('LONGWATCH_HISTORIES');
  const numRuns = asked === undefined ? histories : Math.ceil((asked * histories) / 2_000);
  return { numRuns, seed: SEED, ...more };
}

/**
 * One test that lives through histories that a seed makes: for worlds that draw for themselves. The seed of a history
 * that fails is in the message; a seed that failed once stays as an example.
 * @param world lives one history; throws when a promise is broken
 */
export function simulate(
  name: string,
  world: (seed: number) => void | Promise<void>,
  options: { histories?: number; examples?: number[]; timeoutMs?: number } = {},
): void {
  const run = async (): Promise<void> => {
    const parameters = histories<[number]>(options.histories, {
      examples: (options.examples ?? []).map((seed) => [seed]),
    });
    await fc.assert(
      fc.asyncProperty(fc.noShrink(fc.integer({ min: 0, max: 2 ** 31 - 1 })), async (seed) => world(seed)),
      parameters,
    );
  };
  test(name, run, options.timeoutMs ?? (process.env.LONGWATCH_HISTORIES ? 3_600_000 : TIMEOUT_MS));
}

function numberFrom(variable: string): number | undefined {
  const text = process.env[variable];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${variable} must be a whole number, not ${text}`);
  return value;
}
