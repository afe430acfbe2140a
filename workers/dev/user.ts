/**
 * A name for the user that runs the development stack's servers, where it is a number without one: containers like to
 * run as a user that has no entry in /etc/passwd. PostgreSQL's initdb and Temporal's server (telemetry) ask for their
 * user's name, and end without one. In a user namespace of its own a process can be somebody who has a name; what it
 * may read and write stays the same. Called by `postgres-ground.ts` and `temporal-server.ts`.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * The words that go before a command so that it runs under a name; empty where the user has one, undefined where that
 * cannot be.
 */
export function namePrefix(uid = process.getuid?.() ?? -1): string[] | undefined {
  if (uid < 0 || hasName(uid)) return [];
  // Root is refused by PostgreSQL, whatever it is mapped from.
  const someone = passwd().find((entry) => Number(entry[2]) > 0)?.[2] ?? '65534';
  const prefix = ['unshare', '--user', `--map-user=${someone}`, '--'];
  try {
    execFileSync(prefix[0]!, [...prefix.slice(1), 'true'], { stdio: 'ignore' });
    return prefix;
  } catch {
    return undefined;
  }
}

/** The entries of /etc/passwd, split; none where it cannot be read. */
export function passwd(): string[][] {
  try {
    return readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .filter((entry) => entry.length >= 7);
  } catch {
    return [];
  }
}

function hasName(uid: number): boolean {
  try {
    // Some print the number of a user that has no name, with status 0.
    return execFileSync('id', ['-un', String(uid)], { encoding: 'utf8', stdio: 'pipe' }).trim() !== String(uid);
  } catch {
    return false;
  }
}
