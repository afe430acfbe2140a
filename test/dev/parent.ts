/** Started by `stack.ts` as the process that is killed: keeps a development stack until it dies. */
import { startDevServers } from '../../workers/dev/servers';

void startDevServers({ dir: process.argv[2]!, ui: false }).then(() => {
  process.stdout.write('ready\n');
});
