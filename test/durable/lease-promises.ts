/**
 * The promises of durable activities, checked at the end of a history of the simulated world (`lease-world.ts`): effect
 * and result are there together, attempts are counted, and an effect is taken back once if all that rely on it failed.
 */
import type { LeaseModel } from './lease-model';
import type { SimulatedNode } from './lease-node';

/** The things that a workflow did and saw. */
export interface Order {
  name: string;
  run: string;
  key: string;
  /** The task whose effect it relies on. */
  relies?: string;
  end: 'open' | 'shipped' | 'failed' | 'taken back' | 'stuck';
}

/** One attempt of the user's code. */
export interface Run {
  task: string;
  groups: string[];
  used: number;
}

/** An effect that happened: in the database one that was committed. */
export interface Effect {
  task: string;
  what: 'pay' | 'undo';
  target?: string;
  at: number;
}

/** A history at its end. */
export interface Past {
  nodes: readonly SimulatedNode[];
  model: LeaseModel;
  orders: readonly Order[];
  done: readonly Effect[];
  runs: readonly Run[];
  /** The effect is in the transaction. */
  inTx: boolean;
  attempts: number;
  crashes: number;
}

export function checkEnd(past: Past, fail: (what: string) => void): void {
  const { nodes, done, runs, orders, model, inTx, attempts, crashes } = past;
  for (const node of nodes) {
    if (node.services.leases.size > 0) fail(`${node.services.owner} still keeps ${node.services.leases.size} leases`);
  }
  const count = (what: 'pay' | 'undo', task: string) =>
    done.filter((one) => one.what === what && (one.target ?? one.task) === task).length;
  for (const { task, kind, state, madeBy } of model.tasks.values()) {
    const ran = runs.filter((run) => run.task === task).length;
    if (kind === 'activity' && !inTx && ran > attempts) fail(`${task} has run ${ran} times with ${attempts} attempts`);
    // Effect and result are there together, or neither is.
    const paid = count('pay', task);
    if (inTx && kind === 'activity' && paid !== (state === 'completed' && madeBy === null ? 1 : 0)) {
      fail(`${task} is ${state}, and was paid ${paid} times`);
    }
  }
  // Whatever the database did meanwhile: who has failed has been run. If two have one key, a call whose answer is
  // under way for longer than its lease looks like a crash to the other one, who takes the key over with the attempt
  // that it has used.
  for (const { name, key, end } of orders) {
    const ran = runs.some(({ groups }) => groups.includes(`key ${key}`));
    const alone = orders.filter((order) => order.key === key).length === 1;
    if (end === 'failed' && !ran && alone && crashes === 0) fail(`${name} has failed, and nothing has run`);
  }
  for (const { task } of done.filter(({ what }) => what === 'pay')) {
    const users = orders.filter(({ relies, run }) => relies === task || model.tasks.get(`${run}/pay`)?.madeBy === task);
    const undone = count('undo', task);
    if (inTx && undone > 1) fail(`${task} was taken back ${undone} times`);
    const before = done.find((one) => one.what === 'undo' && one.target === task);
    const late = done.find((one) => one.what === 'pay' && one.task === task && before && one.at > before.at);
    if (inTx && late) fail(`${task} was paid after it was taken back`);
    const shipped = users.find(({ end }) => end === 'shipped');
    if (shipped && undone > 0) fail(`${shipped.name} has shipped, and ${task} was taken back`);
    const all = users.length > 0 && users.every(({ end }) => end === 'taken back');
    if (all && undone === 0) fail(`${task} was not taken back, though all that rely on it failed`);
  }
}
