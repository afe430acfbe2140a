/** The library's entry object: from a connection to its trackers. Made by `connect`; its handles do the work. */
import type { Logger } from 'pino';
import { resolveEnvironment, type Environment, type EnvironmentFlags } from '../workers/config/environment';
import { Connections } from './connections';
import { DurableHandle } from './durable';
import { JobHandle } from './job';
import { JOB_NAMES } from './job-queries';
import { TRACKER_NAMES } from './queries';
import { readStatus, type Status } from './status';
import { TrackerHandle } from './tracker';

export interface ConnectOptions extends EnvironmentFlags {
  /** Found already; wins over the flags. */
  environment?: Environment;
  /** Where its own (few) lines go. @default nowhere */
  log?: Logger;
}

export class Longwatch {
  private readonly connections: Connections;

  constructor(
    readonly environment: Environment,
    log?: Logger,
  ) {
    this.connections = new Connections(environment, log);
  }

  /** A handle; whether there is such a tracker shows at its first use. */
  tracker(name: string): TrackerHandle {
    return new TrackerHandle(name, this.connections);
  }

  /** A regen, sweep or decay; whether there is one of that name shows at its first use. */
  job(name: string): JobHandle {
    return new JobHandle(name, this.connections);
  }

  /** Whether that name is a job's; if not, it may be a tracker's. */
  async isJob(name: string): Promise<boolean> {
    return (await this.jobs()).includes(name);
  }

  /** Names of all jobs that were ever started. */
  async jobs(): Promise<string[]> {
    return (await this.connections.read<{ name: string }>(JOB_NAMES)).map((row) => row.name);
  }

  /** Leases, keys and broken compensations of durable activities. */
  get durable(): DurableHandle {
    return new DurableHandle(this.connections);
  }

  /** Names of all trackers that were ever started. */
  async trackers(): Promise<string[]> {
    return (await this.connections.read<{ name: string }>(TRACKER_NAMES)).map((row) => row.name);
  }

  /** Every tracker, job and node; from PostgreSQL alone. */
  status(): Promise<Status> {
    return readStatus(this.connections);
  }

  /** Whether a worker has asked Temporal for work in the last minute. */
  workersPoll(): Promise<boolean> {
    return this.connections.workersPoll();
  }

  /** Call it when done: open connections keep the process alive. */
  close(): Promise<void> {
    return this.connections.close();
  }
}

/** Finds the servers; each is connected to when first needed. @throws EnvironmentError */
export async function connect(options: ConnectOptions = {}): Promise<Longwatch> {
  return new Longwatch(options.environment ?? resolveEnvironment(options), options.log);
}
