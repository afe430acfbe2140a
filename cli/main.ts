/**
 * The command line: `longwatch VERB`. Reads the arguments, runs one verb (`verbs/`), and turns whatever happens into a
 * message and an exit status: 0 done, 1 failed, 2 used wrongly. Started by `bin/longwatch.js`.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { explain } from './errors';
import { remark } from './output';
import { plain } from './plain';
import { addAudit } from './verbs/audit';
import { addConfig } from './verbs/config';
import { addPause, addResume, addStop } from './verbs/commands';
import { addCrash } from './verbs/crash';
import { addDashboard } from './verbs/dashboard';
import { addDead } from './verbs/dead';
import { addDev } from './verbs/dev';
import { addDoctor } from './verbs/doctor';
import { addDecay, addRegen, addSweep } from './verbs/jobs';
import { addBudget } from './verbs/budget';
import { addHistory } from './verbs/history';
import { addHold } from './verbs/hold';
import { addKeys } from './verbs/keys';
import { addLeases } from './verbs/leases';
import { addList } from './verbs/list';
import { addMember } from './verbs/member';
import { addErrors, addMembers } from './verbs/members';
import { addMigrate } from './verbs/migrate';
import { addMove, addRebalance } from './verbs/moves';
import { addNode } from './verbs/node';
import { addNodes } from './verbs/nodes';
import { addPools } from './verbs/pools';
import { addFlush, addPush } from './verbs/push';
import { addAlive, addCount, addWhere } from './verbs/questions';
import { addReconcile } from './verbs/reconcile';
import { addRefetch } from './verbs/refetch';
import { addAdd, addRemove } from './verbs/roster';
import { addSaga } from './verbs/saga';
import { addRequest, addSend } from './verbs/send';
import { addShow } from './verbs/show';
import { addStart } from './verbs/start';
import { addStatus } from './verbs/status';
import { addToken } from './verbs/token';
import { addWorker } from './verbs/worker';

export function program(): Command {
  const made = new Command('longwatch')
    .description('Watch large sets of things that live elsewhere, durably.')
    .version(version(), '-v, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => process.stdout.write(plain(text)),
      writeErr: (text) => process.stderr.write(plain(text)),
    })
    .showHelpAfterError('(--help shows what can be given)')
    .configureHelp({ sortSubcommands: false })
    .addHelpText('after', '\nResults go to stdout, logs to stderr. Exit status: 0 done, 1 failed, 2 used wrongly.');
  for (const add of [addDev, addWorker, addMigrate, addDashboard, addToken]) add(made);
  for (const add of [addStart, addStop, addPause, addResume]) add(made);
  for (const add of [addAdd, addRemove, addList, addReconcile]) add(made);
  for (const add of [addPush, addFlush, addDead]) add(made);
  for (const add of [addSend, addRequest, addMember]) add(made);
  for (const add of [addStatus, addDoctor, addPools, addShow, addConfig, addCrash]) add(made);
  for (const add of [addCount, addWhere, addAlive, addMembers, addErrors, addHistory]) add(made);
  for (const add of [addNodes, addNode, addRebalance, addMove, addAudit]) add(made);
  for (const add of [addHold, addRefetch, addBudget]) add(made);
  for (const add of [addRegen, addSweep, addDecay]) add(made);
  for (const add of [addLeases, addKeys, addSaga]) add(made);
  return made;
}

/** @returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const made = program();
    if (args.length === 0) {
      made.outputHelp({ error: true });
      return 2;
    }
    await made.parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has said it already; help and version are not failures.
    if (error instanceof CommanderError) {
      if (NEGATIVE.test(error.message))
        remark('an id that begins with - goes behind --: npx longwatch show NAME -- -5');
      return error.exitCode === 0 ? 0 : 2;
    }
    const { message, status, unexpected } = explain(error);
    remark(message);
    if (unexpected) {
      const stack = process.env.LONGWATCH_DEBUG ? (error as Error).stack : 'LONGWATCH_DEBUG=1 shows where it came from';
      remark(stack ?? '');
    }
    return status;
  }
}

/** Numbers of groups, in some places. */
const NEGATIVE = /unknown option '-\d/;

/** Runs the process's arguments and ends the process. */
export async function runAndExit(): Promise<void> {
  // If nothing is left that the verb could wait for, Node ends it in the middle: that is not success.
  process.exitCode = 1;
  process.once('beforeExit', unfinished);
  const status = await main(process.argv.slice(2));
  process.off('beforeExit', unfinished);
  process.exitCode = status;
  // Leftovers of a failed start (the SDK's threads) must not keep the process; those that end by themselves have this
  // long.
  setTimeout(() => process.exit(status), LEFTOVERS_MS).unref();
}

const unfinished = (): void => remark('it ended before it was done, without a word why; please report this');

const LEFTOVERS_MS = 1_000;

/** From `dist/cli` and from `cli` alike. */
function version(): string {
  const above = path.join(__dirname, '..');
  const root = path.basename(above) === 'dist' ? path.dirname(above) : above;
  return (JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string }).version;
}

// `longwatch list … | head`: the reader has what it wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
// `longwatch add … 2>&1 | head`: nobody reads its remarks any more, and what is under way goes on.
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
