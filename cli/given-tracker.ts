/**
 * A tracker's handle, by its definition where `--config` is given: only that says where members are that a route
 * places. Used by the verbs of members: `send`, `request`, `member show`, `dead`.
 */
import type { Command } from 'commander';
import type { Longwatch } from '../client/longwatch';
import type { TrackerHandle } from '../client/tracker/handle';
import { UsageError } from './errors';
import { lazy } from './lazy';

export interface ConfigFlag {
  config?: string;
}

export const withConfigFlag = (command: Command): Command =>
  command.option('--config <file>', "the config module, where the tracker's definition has a route");

/** @throws UsageError where the config has no such tracker */
export async function givenTracker(tracker: string, { config }: ConfigFlag): Promise<(of: Longwatch) => TrackerHandle> {
  if (config === undefined) return (longwatch) => longwatch.tracker(tracker);
  const { trackers } = (await lazy.load().loadConfig(config)).config;
  const definition = trackers.find(({ name }) => name === tracker)?.definition;
  if (!definition) throw new UsageError(`the config has no tracker '${tracker}'`);
  return (longwatch) => longwatch.tracker(definition);
}
