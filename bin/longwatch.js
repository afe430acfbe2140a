#!/usr/bin/env node
'use strict';
// The command line. A process that runs a worker begins anew with what has to be set before it starts (as the same process, so that
// signals and its number stay): glibc raises its threshold by itself as it sees large blocks freed, and keeps tens of megabytes after a
// burst of them; said by hand it stays, and they go back to the system. Two arenas do for the few threads that allocate. V8's young
// generations, the main thread's and that of the workflows, would each grow to 48 MB in a burst and stay so: here, 24.
const RUNS_A_WORKER = ['worker', 'dev'];
const HEAP = '--max-semi-space-size=8';
const MALLOC = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' };

if (RUNS_A_WORKER.includes(process.argv[2]) && !process.execArgv.includes(HEAP)) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 22 || (major === 22 && minor < 19)) {
    process.stderr.write(
      `Node ${process.versions.node} is older than what Longwatch is tested with: use 22.19, 24 or 26\n`,
    );
  }
  // What `ldd` calls musl has no such version. The verbs that only ask do without native code.
  process.report.excludeNetwork = true;
  if (process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime) {
    process.stderr.write(
      "a worker needs glibc, for which Temporal's native module and the development stack's PostgreSQL are built; " +
        'this system has musl (Alpine): use an image of Debian, such as node:24-bookworm-slim\n',
    );
    process.exit(1);
  }
  // Node before 22.15 cannot do this, and Windows never: the worker then takes some tens of megabytes more after a burst.
  if (process.execve && process.platform !== 'win32') {
    const args = [process.execPath, HEAP, ...process.execArgv, __filename, ...process.argv.slice(2)];
    process.execve(process.execPath, args, { ...MALLOC, ...process.env });
  }
}
void require('../dist/cli/main.js').runAndExit();
