/** Nodes of a cluster for tests: what they say of themselves. */
import type { WrittenRow } from '../../activities/tracker/placement/row';
import { readFigures } from '../../activities/tracker/store/node-use';
import type { NodeWord } from '../../activities/tracker/store/nodes';

/** A node that keeps nothing and wants nothing. */
export function wordOf(name: string, over: Partial<WrittenRow> = {}): NodeWord {
  const placement: WrittenRow = {
    name,
    load: 0,
    shifts: 0,
    loads: {},
    largest: null,
    weight: 1,
    places: null,
    loadLimit: null,
    keeps: [],
    up: true,
    hot: false,
    cutOff: false,
    out: [],
    ask: null,
    wants: {},
    done: {},
    ...over,
  };
  return { placement, figures: readFigures({})! };
}
