/**
 * A node through thousands of histories: what is stored, who may write, who runs when, whatever freezes, dies, jumps or
 * is lost.
 */
import { simulate } from '../../support/simulate';
import { NodeWorld } from './world';

// Seeds that found something: runs of a shift that never came about; a value of before a removal, stored after the
// member was added again; a buffer that was given the value of the other half of a split; two shifts of one pool on one
// node, both of which wrote; a run of a loop that had left, whose time-out was noted for a number that nobody had any
// more; a failure that did not count the refused value before it; a pool that a node kept and did not count any more,
// for another attempt on it had failed; a pool that was given away while an attempt that failed was to keep it.
const examples = [
  808472546, 970614630, 2012034089, 2018395467, 282166784, 1222848865, 1908556541, 1424143849, 2369, 202134,
];

simulate(
  'a node: shifts, take-overs, rosters, splits, options, holds and clocks over a store that may fail at each step',
  async (seed) => {
    await new NodeWorld(seed).live();
  },
  // A history is 15 seconds of two nodes and costs some 50 ms; all of them cost 13 s of CPU.
  { histories: 250, examples },
);
