/**
 * The state that the server streams: what the library's `status`, `nodes`, `doctor` and `budget.list` answer, at one
 * moment. Types only; `live.ts` keeps it, every page reads it.
 */
import type { BucketSummary } from '../../../client/budget';
import type { BufferSummary } from '../../../client/buffer/status';
import type { NodeReport } from '../../../client/cluster/nodes';
import type { JobSummary } from '../../../client/job/status';
import type { OperationSummary, TrackerSummary } from '../../../client/status';

export type { BucketSummary, BufferSummary, JobSummary, NodeReport, OperationSummary, TrackerSummary };
export type { State } from '../../state';
