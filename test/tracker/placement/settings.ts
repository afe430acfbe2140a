/** A node that keeps everything of `eve` and is well, as the tests of placement begin with it. */
import type { NodeSettings } from '../../../activities/tracker/placement/placer';

export const SETTINGS: NodeSettings = {
  weight: 1,
  places: Infinity,
  loadLimit: Infinity,
  keeps: new Set(['eve']),
  up: true,
  hot: false,
  cutOff: false,
};
