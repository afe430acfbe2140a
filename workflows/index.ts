/** The workflows, and nothing else: every function exported here becomes a workflow of that name. */
export { tracker } from './tracker/tracker';
export { pool } from './tracker/pool';
export { compensation } from './lib/compensation';
export { job } from './population/job';
