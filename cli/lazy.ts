/**
 * Modules that a verb loads only when it runs, so that `--help` and a mistyped verb answer at once.
 */
/* eslint-disable @typescript-eslint/no-require-imports -- an `import()` of a file would be resolved by the rules of ES modules */
import type * as cliProgress from 'cli-progress';
import type * as cliTable from 'cli-table3';
import type * as pino from 'pino';
import type * as log from '../activities/lib/log';
import type * as change from '../config/change';
import type * as environment from '../config/environment';
import type * as load from '../config/load';
import type * as suggest from '../config/suggest';
import type * as values from '../config/values';
import type * as devServers from '../workers/dev/servers';
import type * as migrate from '../workers/migrate';
import type * as worker from '../workers/worker';
import type * as longwatch from '../client/longwatch';
import type * as http from '../http';
import type * as who from '../http/who';

export const lazy = {
  longwatch: () => require('../client/longwatch') as typeof longwatch,
  http: () => require('../http') as typeof http,
  who: () => require('../http/who') as typeof who,
  environment: () => require('../config/environment') as typeof environment,
  change: () => require('../config/change') as typeof change,
  suggest: () => require('../config/suggest') as typeof suggest,
  values: () => require('../config/values') as typeof values,
  load: () => require('../config/load') as typeof load,
  worker: () => require('../workers/worker') as typeof worker,
  migrate: () => require('../workers/migrate') as typeof migrate,
  devServers: () => require('../workers/dev/servers') as typeof devServers,
  log: () => require('../activities/lib/log') as typeof log,
  pino: () => require('pino') as typeof pino,
  table: () => require('cli-table3') as typeof cliTable.default,
  progress: () => require('cli-progress') as typeof cliProgress,
};
