/**
 * The activities of a worker: plain functions of `roster/` and `shift/`, given what they need. Called by
 * `workers/parts.ts` once a process.
 */
import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import { ErrorType } from '../../workflows/lib/errors';
import { poolWorkflowId, trackerWorkflowId, type TrackerActivities } from '../../workflows/tracker/contract';
import { failure } from '../lib/failures';
import { applyRoster } from './roster/apply';
import { declareOptions, openTracker, setOptions, setTrackerState } from './roster/commands';
import { readOpening, splitPools } from './roster/layout';
import { wakePools } from './roster/wake';
import { finish } from './shift/finish';
import { begin, keepPool } from './shift/keep';
import { Meanwhile } from './shift/meanwhile';
import { writeUnbegun } from './store/pools';
import type { Node } from './shift/node';
import type { Database } from '../lib/database';
import type { TemporalLink } from '../lib/temporal';

export interface ActivityDeps {
  node: Node;
  database: Database;
  temporal: TemporalLink;
  log: Logger;
}

export function createActivities(deps: ActivityDeps): TrackerActivities {
  const { node, database, temporal, log } = deps;
  const wakePool = (tracker: string, pool: number) => temporal.wakePool(tracker, pool);
  const meanwhile = new Meanwhile({
    ...{ node, database, log },
    begin: (...given) => begin(deps, ...given),
    finish: (shift, ending) => finish(deps, shift, ending),
  });
  return {
    async openPool({ tracker, pool }) {
      const workflowId = poolWorkflowId(tracker, pool);
      const { runId } = Context.current().info.workflowExecution!;
      if (!(await temporal.isCurrent(workflowId, runId))) {
        throw failure(ErrorType.PoolNotCurrent, `run ${runId} is not the current one of ${workflowId}`);
      }
      return readOpening(database, tracker, pool);
    },
    applyRoster: (input) => applyRoster(database, input, { definitions: node.definitions, wakePool, log }),
    noteUnbegun: ({ tracker, pool, unbegun }) => database.transaction((db) => writeUnbegun(db, tracker, pool, unbegun)),
    shift: (input) => keepPool({ ...deps, meanwhile }, input),
    openTracker: ({ command, ...input }) => {
      const { runId } = Context.current().info.workflowExecution!;
      const isCurrent = () => temporal.isCurrent(trackerWorkflowId(input.tracker), runId);
      // A root of an older version gives its opening no name.
      const name = command ?? (input.options && `opening of ${runId}`);
      return openTracker(database, input, name === undefined ? undefined : { command: name, isCurrent });
    },
    setTrackerState: (input) => setTrackerState(database, input),
    declareOptions: (input) => declareOptions(database, input),
    setOptions: (input) => setOptions(database, input),
    splitPools: (input) => splitPools(database, input, () => Context.current().heartbeat()),
    wakePools: (input) => wakePools(database, temporal, input, () => Context.current().heartbeat()),
  };
}
