/** The rows of the model of leases (`lease-model.ts`), and what its statements are asked and answer. */
export interface TakeInput {
  task: string;
  activity: string;
  kind: 'activity' | 'compensation';
  workflow: string;
  run: string;
  owner: string;
  ttlMs: number;
  attempts: number;
  resource: string | null;
  key: string | null;
  keepFailure: boolean;
  fingerprint: string | null;
  refuse: boolean;
  undo: boolean;
  saga: string | null;
  target: string | null;
  call: string;
}

export interface TakeOutput {
  outcome: string;
  source: string | null;
  attempt: number | null;
  used: number | null;
  owner: string | null;
  waitMs: number | null;
  result: string | null;
  error: { type: string; message: string } | null;
  other: boolean;
}

export interface SettleInput {
  task: string;
  activity: string;
  run: string;
  owner: string;
  attempt: number;
  to: 'completed' | 'waiting' | 'failed' | 'discarded';
  result: string | null;
  error: { type: string; message: string } | null;
  retryMs: number;
  key: string | null;
  keepFailure: boolean;
  unused: boolean;
  strict: boolean;
}

export interface TaskRow {
  task: string;
  activity: string;
  kind: string;
  workflow: string;
  run: string;
  state: 'leased' | 'waiting' | 'completed' | 'failed' | 'discarded' | 'resolved';
  owner: string | null;
  attempt: number;
  unused: number;
  leaseUntil: number | null;
  resource: string | null;
  key: string | null;
  target: string | null;
  result: string | null;
  error: { type: string; message: string } | null;
  retryAt: number | null;
  changedAt: number;
  users: string[] | null;
  madeBy: string | null;
  call: string | null;
  undoing: boolean;
}

export interface KeyRow {
  task: string;
  fingerprint: string | null;
  others: number;
  otherTask: string | null;
}
