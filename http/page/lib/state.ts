/**
 * The state that the server streams: what the library's `status`, `nodes`, `doctor` and `budget.list` answer, at one
 * moment. Types only; `live.ts` keeps it, every page reads it.
 */
import type { BucketSummary } from '../../../client/budget';
import type { BufferSummary } from '../../../client/buffer/status';
import type { ClusterReport, NodeReport } from '../../../client/cluster/nodes';
import type { Diagnosis } from '../../../client/doctor/doctor';
import type { JobSummary } from '../../../client/job/status';
import type { OperationSummary, Status, TrackerSummary } from '../../../client/status';

export type { BucketSummary, BufferSummary, JobSummary, NodeReport, OperationSummary, TrackerSummary };

export interface State {
  /** When it was read, by the server's clock. */
  at: string;
  status: Status;
  cluster: ClusterReport;
  doctor: Diagnosis;
  /** The first hundred, in the order of their names. */
  buckets: BucketSummary[];
}
