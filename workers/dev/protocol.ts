/**
 * The messages that `servers.ts` (in the `longwatch dev` process) and `supervisor.ts` (its child) say to each other
 * over IPC.
 */
import type { ProcessMark } from '../../config/dev/processes';
import type { DevPorts, DevServerName, DevState } from '../../config/dev/state';

export interface SupervisorOptions {
  dir: string;
  owner: ProcessMark;
  namespace: string;
  /** Given: no such server is started. */
  databaseUrl?: string;
  temporalAddress?: string;
  temporalBinary?: string;
  ui: boolean;
  ports: DevPorts;
  synchronous?: 'OFF' | 'FULL';
}

export type Request =
  | { id: number; action: 'kill' | 'start'; server: DevServerName }
  | { id: number; action: 'publish'; metricsUrl: string }
  | { id: number; action: 'stop' };

export type ToSupervisor = { type: 'options'; options: SupervisorOptions } | ({ type: 'request' } & Request);

export type FromSupervisor =
  | { type: 'progress'; line: string }
  | { type: 'event'; level: 'info' | 'warn'; message: string }
  | { type: 'ready'; state: DevState }
  | { type: 'failed'; kind: 'already-running' | 'port-taken' | 'other'; message: string; value: number }
  | { type: 'reply'; id: number; error?: string };
