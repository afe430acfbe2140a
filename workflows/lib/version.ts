/**
 * The versions of a workflow's numbers, oldest first: a name, and the reason for it. A history that was begun under one
 * must be replayed under it, so each name but the first is that of a `patched` of the SDK, beside which the older
 * number stays. Used by the `tunables.ts` of each room; `test/replay/tunables.json` has the numbers of each version.
 */
export type Versions = Readonly<Record<string, string>>;
