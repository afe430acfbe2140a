import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { Connection } from '@temporalio/client';
import { AlreadyRunningError, DevServerError, PortTakenError } from '../../workers/dev/errors';
import { ended, isRunning, markOf } from '../../config/dev/processes';
import { startDevServers, type DevServers } from '../../workers/dev/servers';
import { findDevState, readDevState } from '../../config/dev/state';
import { withTemporal } from '../support/temporal';
import { allEnded, marksOf, newFolder, query, removeFolder, runningFor, startParent } from './stack';
import { SEARCH_ATTRIBUTES } from '../../workflows/lib/contract';

/** One folder for all: each test starts on what the one before has left. */
const dir = newFolder();
let servers: DevServers | undefined;

afterEach(async () => {
  await servers?.stop();
  servers = undefined;
});
afterAll(() => removeFolder(dir));

/** Starts a stack that `afterEach` stops. */
async function start(options: Partial<Parameters<typeof startDevServers>[0]> = {}): Promise<DevServers> {
  servers = await startDevServers({ dir, ui: false, ...options });
  return servers;
}

const startWorkflow = (stack: DevServers): Promise<unknown> =>
  withTemporal(stack, (client) =>
    client.workflow.start('any', {
      taskQueue: 'nobody',
      workflowId: 'kept',
      args: [],
      searchAttributes: { LongwatchTracker: ['t'] },
    }),
  );
const workflowStatus = (stack: DevServers): Promise<string> =>
  withTemporal(stack, async (client) => (await client.workflow.getHandle('kept').describe()).status.name);

describe('the development stack', () => {
  test('starts both servers, ready for use, and stops without leaving a process', async () => {
    const lines: string[] = [];
    const stack = await start({ onProgress: (line) => lines.push(line) });
    expect(lines).toContain('Starting Temporal');
    expect(await query(stack.databaseUrl, 'select current_user as me, current_database() as here')).toEqual([
      { me: 'longwatch', here: 'longwatch' },
    ]);
    const attributes = await withTemporal(stack, (client) =>
      client.connection.operatorService.listSearchAttributes({ namespace: stack.namespace }),
    );
    expect(Object.keys(attributes.customAttributes)).toEqual(expect.arrayContaining(Object.keys(SEARCH_ATTRIBUTES)));
    expect(findDevState(path.join(dir, 'postgres'))?.temporalAddress).toBe(stack.temporalAddress);
    expect(statSync(path.join(dir, 'dev.json')).mode & 0o777).toBe(0o600);

    // The command opens the database, and the password stays in its file.
    const { port, password } = new URL(stack.databaseUrl);
    expect(stack.psql).toMatch(new RegExp(` psql -h 127.0.0.1 -p ${port} -U longwatch longwatch$`));
    expect(stack.psql).not.toContain(password);
    expect(
      execFileSync('sh', ['-c', stack.psql!.replace(/ psql .*/, ' printenv PGPASSWORD')])
        .toString()
        .trim(),
    ).toBe(password);

    await query(stack.databaseUrl, 'create table kept as select 42 as answer');
    await startWorkflow(stack);
    await stack.stop();
    expect(runningFor(dir)).toEqual([]);
    expect(findDevState(dir)).toBeUndefined();
    await expect(stack.kill('postgres')).rejects.toBeInstanceOf(DevServerError);
  });

  test('a folder that cannot be made is named, with what to do', async () => {
    await expect(start({ dir: path.join(__filename, 'below') })).rejects.toMatchObject({
      name: 'DevServerError',
      message: expect.stringMatching(/^The folder .*below cannot be made or written: ENOTDIR.*--dir/) as string,
    });
  });

  // By this name `npm run soak -- server` leaves it out: a server without the command has none.
  test('the web page answers', async () => {
    const stack = await start({ ui: true });
    expect((await fetch(stack.uiUrl!)).status).toBe(200);
  });

  test('goes on with the same data on a second start, and refuses a third beside it', async () => {
    const stack = await start();
    expect(await query(stack.databaseUrl, 'select answer from kept')).toEqual([{ answer: 42 }]);
    expect(await workflowStatus(stack)).toBe('RUNNING');
    const refused = await startDevServers({ dir, ui: false }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(AlreadyRunningError);
    expect((refused as AlreadyRunningError).pid).toBe(process.pid);
    await stack.publish({ metricsUrl: 'http://127.0.0.1:9464/metrics' });
    expect(readDevState(dir)?.metricsUrl).toBe('http://127.0.0.1:9464/metrics');
  });

  test('starts a server again that dies by itself, on the same port with the same data', async () => {
    let back = (): void => undefined;
    const recovered = new Promise<void>((resolve) => (back = resolve));
    const info = (message: string): void => (/PostgreSQL is back/.test(message) ? back() : undefined);
    const stack = await start({ log: { info, warn: () => undefined } });
    process.kill(readDevState(dir)!.servers.postgres!.pid, 'SIGKILL');
    await recovered;
    expect(await query(stack.databaseUrl, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  test('kills a server on demand, which stays down until it is started', async () => {
    const stack = await start();
    await stack.kill('temporal');
    await expect(Connection.connect({ address: stack.temporalAddress, connectTimeout: 500 })).rejects.toThrow();
    expect(readDevState(dir)?.servers.temporal).toBeUndefined();
    await stack.kill('postgres');
    await expect(query(stack.databaseUrl, 'select 1')).rejects.toThrow(/ECONNREFUSED/);
    await Promise.all([stack.start('temporal'), stack.start('postgres')]);
    expect(await workflowStatus(stack)).toBe('RUNNING');
    expect(await query(stack.databaseUrl, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });
});

describe('kill -9', () => {
  test('of the parent: the servers end by themselves, and a start meanwhile waits for that', async () => {
    const parent = await startParent(dir);
    const { supervisor } = parent.state;
    // It hears of the end only when somebody waits for it, however slow this machine is.
    process.kill(supervisor.pid, 'SIGSTOP');
    parent.child.kill('SIGKILL');
    await ended(parent.mark, 60_000);
    const lines: string[] = [];
    const onProgress = (line: string): void => {
      lines.push(line);
      if (line.startsWith('Waiting for')) process.kill(supervisor.pid, 'SIGCONT');
    };
    const stack = await start({ onProgress });
    expect(lines).toContain('Waiting for the servers of an earlier run to end');
    expect(lines).not.toContain('Stopped servers that an earlier run had left behind');
    expect(marksOf(parent.state).filter(isRunning)).toEqual([]);
    expect(await workflowStatus(stack)).toBe('RUNNING');
  });

  test('of parent and supervisor: the next start stops the orphans first', async () => {
    const parent = await startParent(dir);
    process.kill(parent.state.supervisor.pid, 'SIGKILL');
    parent.child.kill('SIGKILL');
    await ended(parent.state.supervisor, 60_000);
    expect(isRunning(parent.state.servers.postgres)).toBe(true);
    const lines: string[] = [];
    const stack = await start({ onProgress: (line) => lines.push(line) });
    expect(lines).toContain('Stopped servers that an earlier run had left behind');
    expect(marksOf(parent.state).filter(isRunning)).toEqual([]);
    expect(await query(stack.databaseUrl, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  test('of everything, with a postmaster.pid whose pid is another process by now', async () => {
    const parent = await startParent(dir);
    const marks = marksOf(parent.state);
    // The supervisor first, or it would start the servers again.
    for (const mark of marks) process.kill(mark.pid, 'SIGKILL');
    parent.child.kill('SIGKILL');
    expect(await allEnded(marks)).toBe(true);
    // PostgreSQL itself sees through the pid of another user, so the stranger is one of its own.
    const { uid, gid } = statSync(path.join(dir, 'postgres'));
    const stranger = spawn('sleep', ['60'], { uid, gid, stdio: 'ignore' });
    try {
      const pidFile = path.join(dir, 'postgres', 'postmaster.pid');
      const [, ...rest] = readFileSync(pidFile, 'utf8').split('\n');
      writeFileSync(pidFile, [String(stranger.pid), ...rest].join('\n'));
      const stack = await start();
      expect(await query(stack.databaseUrl, 'select answer from kept')).toEqual([{ answer: 42 }]);
      expect(await workflowStatus(stack)).toBe('RUNNING');
      expect(isRunning(markOf(stranger.pid!))).toBe(true);
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  test('of the supervisor alone: stop still ends the servers', async () => {
    const stack = await start();
    const state = readDevState(dir)!;
    process.kill(state.supervisor.pid, 'SIGKILL');
    await ended(state.supervisor, 60_000);
    await stack.stop();
    expect(runningFor(dir)).toEqual([]);
  });
});

describe('ports and addresses', () => {
  /** Listens, or leaves the port to whoever has it. */
  const occupy = (port: number): Promise<Server> =>
    new Promise((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(server));
      server.listen(port, '127.0.0.1', () => resolve(server));
    });

  test('taken usual ports are avoided', async () => {
    const blockers = await Promise.all([7233, 8233, 5433].map(occupy));
    try {
      const stack = await start({ ui: true });
      expect(stack.temporalAddress).not.toMatch(/:7233$/);
      expect(stack.uiUrl).not.toMatch(/:8233$/);
      expect(new URL(stack.databaseUrl).port).not.toBe('5433');
      expect(await query(stack.databaseUrl, 'select answer from kept')).toEqual([{ answer: 42 }]);
    } finally {
      for (const blocker of blockers) blocker.close();
    }
  });

  test('a port that was asked for and is taken is refused by name, and nothing keeps running', async () => {
    const blocker = await occupy(0);
    try {
      const port = (blocker.address() as { port: number }).port;
      const refused = await startDevServers({ dir, ui: false, ports: { temporal: port } }).catch(
        (error: unknown) => error,
      );
      expect(refused).toBeInstanceOf(PortTakenError);
      expect((refused as Error).message).toContain(String(port));
      expect(runningFor(dir)).toEqual([]);
    } finally {
      blocker.close();
    }
  });

  test('0 asks for any that is free', async () => {
    const stack = await start({ ports: { temporal: 0, postgres: 0 } });
    expect(Number(stack.temporalAddress.split(':')[1])).toBeGreaterThan(0);
  });

  test('servers that are given are not started', async () => {
    const stack = await start({ temporalAddress: '127.0.0.1:1', databaseUrl: 'postgres://a@127.0.0.1:2/b' });
    expect(stack).toMatchObject({ temporalAddress: '127.0.0.1:1', databaseUrl: 'postgres://a@127.0.0.1:2/b' });
    expect(readDevState(dir)).toMatchObject({ servers: {}, owner: markOf(process.pid) });
    await expect(stack.kill('temporal')).rejects.toThrow(/does not run its own temporal/);
  });
});
