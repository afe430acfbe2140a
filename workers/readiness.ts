/**
 * Whether a worker can work: it runs, PostgreSQL and Temporal answer, the schema is of its version. Asked by `/readyz`,
 * perhaps often and by several: one look at a time, each answer good for a second, none longer than two.
 */
import type { Database } from '../activities/lib/database';
import type { TemporalLink } from '../activities/lib/temporal';
import type { Health } from './metrics';
import { schemaProblem } from './schema';

const GOOD_FOR_MS = 1_000;
const ANSWER_MS = 2_000;

export function readiness(running: () => boolean, database: Database, link: TemporalLink): Health {
  let last: { at: number; problems: Promise<string[]> } | undefined;
  const look = async (): Promise<string[]> => {
    const [postgres, temporal] = await Promise.all([
      within(postgresProblem(database), 'postgresql: does not answer'),
      within(
        link.reachable().then((reachable) => (reachable ? undefined : 'temporal: does not answer')),
        'temporal: does not answer',
      ),
    ]);
    const worker = running() ? undefined : 'worker: not running';
    return [worker, postgres, temporal].filter((problem) => problem !== undefined);
  };
  return {
    alive: running,
    ready: () => {
      if (!last || Date.now() - last.at > GOOD_FOR_MS) {
        const problems = look();
        last = { at: Infinity, problems };
        void problems.finally(() => (last = { at: Date.now(), problems }));
      }
      return last.problems;
    },
  };
}

async function postgresProblem(database: Database): Promise<string | undefined> {
  try {
    return (await schemaProblem(database)) === undefined ? undefined : 'schema: not of this version';
  } catch {
    return 'postgresql: does not answer';
  }
}

async function within(look: Promise<string | undefined>, late: string): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<string>((resolve) => (timer = setTimeout(() => resolve(late), ANSWER_MS)));
  return Promise.race([look, limit]).finally(() => clearTimeout(timer));
}
