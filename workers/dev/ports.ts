/** Ports of the development stack's servers: the usual ones where they are free. Used by `supervisor.ts`. */
import { createServer } from 'node:net';

/** Whether a server could listen on 127.0.0.1 at this port now. */
export function isFree(port: number): Promise<boolean> {
  return listen(port).then(
    () => true,
    () => false,
  );
}

/**
 * The first of the wished ports that is free, else one that the operating system names. A port may be lost between
 * this answer and its use: the server then ends with 'address in use', and the caller chooses again.
 * @param not Ports given to other servers of the stack, which do not listen yet.
 */
export async function choosePort(wishes: readonly (number | undefined)[], not: readonly number[]): Promise<number> {
  for (const port of wishes) {
    if (port !== undefined && !not.includes(port) && (await isFree(port))) return port;
  }
  for (;;) {
    const port = await listen(0);
    if (!not.includes(port)) return port;
  }
}

/** Listens for a moment. @returns the port. */
function listen(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}
