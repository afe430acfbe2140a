/** The command line in a test's own process. */
import { main } from '../../cli/main';
import type { Stack } from './stack';

/** Runs a verb as the shell would, but for the process. */
export async function runCli(
  stack: Pick<Stack, 'servers'>,
  ...args: string[]
): Promise<{ status: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const catching = (into: string[]) => (text: unknown) => {
    into.push(String(text));
    return true;
  };
  const spies = [
    jest.spyOn(process.stdout, 'write').mockImplementation(catching(out)),
    jest.spyOn(process.stderr, 'write').mockImplementation(catching(err)),
  ];
  const where = ['--address', stack.servers.temporalAddress, '--database', stack.servers.databaseUrl];
  try {
    return { status: await main([...args, ...where]), out: out.join(''), err: err.join('') };
  } finally {
    spies.forEach((spy) => spy.mockRestore());
  }
}
