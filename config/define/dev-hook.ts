/**
 * The named export `dev` of a config module: what `longwatch dev` starts beside the worker, such as a made-up
 * upstream, and which ids it adds to a tracker that has never been started. Production never reads it.
 */
import type { Logger } from 'pino';

export interface DevHook {
  /**
   * Runs before the worker. `dir` is a folder that is kept between starts; `databaseUrl` is where the tracker keeps its
   * values, for a hook that wants a schema of its own there (it holds a password).
   */
  start?: (context: { dir: string; log: Logger; databaseUrl?: string }) => Promise<{
    stop: () => Promise<void>;
    /** Shown in the ready block, one a line. */
    lines: string[];
  }>;
  /** Ids to add on the first start, by tracker. */
  trackers?: Record<string, { ids: string[] }>;
}
