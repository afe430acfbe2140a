/** The workflows, and nothing else: every function exported here becomes a workflow of that name. */
export { tracker } from './tracker/tracker';
export { pool } from './tracker/pool';
export { buffer } from './buffer/buffer';
export { shard } from './buffer/shard';
export { compensation } from './durable/compensation';
export { job } from './job/job';
