/** The command line in a test's own process. */
import { main } from '../../cli/main';
import type { Stack } from './stack';

type Servers = Pick<Stack['servers'], 'temporalAddress' | 'databaseUrl'> & { namespace?: string };

/** The flags that lead to these servers. */
export function flagsTo({ temporalAddress, namespace = 'default', databaseUrl }: Servers): string[] {
  return ['--address', temporalAddress, '--namespace', namespace, '--database', databaseUrl];
}

/** Runs a verb as the shell would, but for the process. */
export async function runCli(
  stack: { servers: Servers },
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
  try {
    return { status: await main([...args, ...flagsTo(stack.servers)]), out: out.join(''), err: err.join('') };
  } finally {
    spies.forEach((spy) => spy.mockRestore());
  }
}
