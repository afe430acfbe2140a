/** Says which node has code for the states of a pool. Asked by `placing.ts`. */
import { newestRead, type StateVersions } from '../member/loading';
import { fillAfter, mayKeep } from '../placement/nodes';
import { readsOf } from '../placement/row';
import { poolOf, type Cluster, type PlacedPool } from '../placement/types';
import type { Peer } from '../store/nodes';
import { hasRoom } from './cluster-sight';

/** By tracker whose members receive: the newest version of a state that its code reads, and the one that it writes. */
export interface KnownStates {
  readonly reads: Readonly<Record<string, number>>;
  readonly writes: Readonly<Record<string, number>>;
}

export function knownStates(versions: readonly (readonly [string, StateVersions])[]): KnownStates {
  return {
    reads: Object.fromEntries(versions.map(([tracker, code]) => [tracker, newestRead(code)])),
    writes: Object.fromEntries(versions.map(([tracker, { version }]) => [tracker, version])),
  };
}

/** @returns a node that takes such pools now, and reads states of that version: the one with most room */
export function readerOf(
  cluster: Cluster,
  peers: readonly Peer[],
  { id, kind, size }: PlacedPool,
  version: number,
): string | undefined {
  const { tracker } = poolOf(id);
  const reading = new Set(peers.flatMap(({ row }) => ((readsOf(row, tracker) ?? 0) >= version ? [row.name] : [])));
  const able = cluster.slice(1).filter((node) => {
    const others = cluster.filter((other) => other !== node);
    // One at its target does not ask for pools while others have room, so the pool would wait for it in vain.
    return reading.has(node.name) && mayKeep(node, kind) && hasRoom([node, ...others]);
  });
  return able.sort((a, b) => fillAfter(a, size) - fillAfter(b, size))[0]?.name;
}
