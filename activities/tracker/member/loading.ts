/**
 * Says which stored states this code can read, and how: a state has the version of the definition that wrote it.
 * Asked before a pool is kept (`mayKeep`), when a member is read (`pathTo`), and by a rollback, which says whom it
 * would leave.
 */

/** The states of a tracker's members, as its definition knows them. */
export interface StateCode {
  /** The version that it writes. */
  readonly version: number;
  /** The state of a member that has none; undefined: the definition says none. */
  initial(id: string): unknown;
  /** A stored state of some version as the definition knows it. @throws what a migration throws */
  read(state: unknown, stored: number): unknown;
}

export const PLAIN_STATES: StateCode = { version: 1, initial: () => undefined, read: (state) => state };

/** The versions of a definition's state. Versions count from 1. */
export interface StateVersions {
  readonly version: number;
  /** By the version that it comes from: makes the next one of it. */
  readonly migrate: Readonly<Record<number, (state: unknown) => unknown>>;
  /** By the version that it comes from: makes the one before of it. Optional: without it there is no way back. */
  readonly down: Readonly<Record<number, (state: unknown) => unknown>>;
}

/** Why states of some version cannot be read, or undefined when they can. */
export function unreadable(stored: number, { version, migrate, down }: StateVersions): string | undefined {
  for (let from = stored; from < version; from++) {
    if (!migrate[from]) return `the state has version ${stored}, and there is no migrate from ${from} to ${from + 1}`;
  }
  for (let from = stored; from > version; from--) {
    if (!down[from])
      return `the state has version ${stored}, this code knows ${version}, and there is no down from ${from}`;
  }
  return undefined;
}

/** The newest version that this code can read: by its `down`s it may be newer than its own. */
export function newestRead({ version, down }: Pick<StateVersions, 'version' | 'down'>): number {
  let newest = version;
  while (down[newest + 1]) newest++;
  return newest;
}

/**
 * The state as this code knows it. @throws what a migration throws: that is a failure of the message that needs it
 */
export function readState(state: unknown, stored: number, versions: StateVersions): unknown {
  const why = unreadable(stored, versions);
  if (why !== undefined) throw new Error(why);
  let read = state;
  for (let from = stored; from < versions.version; from++) read = versions.migrate[from]!(read);
  for (let from = stored; from > versions.version; from--) read = versions.down[from]!(read);
  return read;
}

/** Members of a pool, or of all, by the version of their state. */
export type ByVersion = ReadonlyMap<number, number>;

/**
 * Whether a node may keep a pool: never one with a state that is newer than it knows. It is left to the others, and a
 * node that rolls out takes it. An older state without its migration is the definition's mistake: the pool is kept,
 * the member's messages fail and say so.
 */
export function mayKeep(states: ByVersion, versions: StateVersions): boolean {
  return [...states].every(
    ([stored, members]) => members === 0 || stored <= versions.version || !unreadable(stored, versions),
  );
}

/** Members that code of these versions would not read: what a rollback says before it begins. */
export function leftBy(
  states: ByVersion,
  versions: StateVersions,
): { version: number; members: number; why: string }[] {
  return [...states]
    .flatMap(([version, members]) => {
      const why = unreadable(version, versions);
      return why !== undefined && members > 0 ? [{ version, members, why }] : [];
    })
    .sort((a, b) => a.version - b.version);
}

/** By tracker whose members receive: the newest version of a state that a node's code reads, and the one it writes. */
export interface KnownStates {
  readonly reads: Readonly<Record<string, number>>;
  readonly writes: Readonly<Record<string, number>>;
}

export const NO_STATES: KnownStates = { reads: {}, writes: {} };

export function knownStates(versions: readonly (readonly [string, StateVersions])[]): KnownStates {
  return {
    reads: Object.fromEntries(versions.map(([tracker, code]) => [tracker, newestRead(code)])),
    writes: Object.fromEntries(versions.map(([tracker, { version }]) => [tracker, version])),
  };
}
