/** The names by which the nodes of `main.ts` are told who they are and where the upstream is. */
export const SETTINGS = {
  origin: 'BEATS_UPSTREAM',
  node: 'BEATS_NODE',
  bundle: 'BEATS_BUNDLE',
  slack: 'BEATS_SLACK_MS',
} as const;
/** Each request says which node asks. */
export const NODE_HEADER = 'x-node';

/** One operation a second, and by how much it may be late where nothing happens to its node. Milliseconds. */
export const EVERY_MS = 1_000;
export const SLACK_MS = Number(process.env[SETTINGS.slack] ?? 1_500);
