/** The reason why a drained node still keeps pools, in words. Pure; asked while `node drain --wait` waits. */
import { isDrainedFor, type ClusterReport, type NodeReport } from './nodes';

export function whyKept(node: NodeReport, { nodes }: ClusterReport, tracker: string | undefined): string {
  if (!node.alive) {
    return 'it does not live any more, and its pools go to other nodes when their heartbeats time out';
  }
  if (node.use?.temporalRefusedMs != null) return 'it cannot reach Temporal, which hands its pools on';
  if (node.use?.storeRefusedMs != null)
    return 'it cannot write to PostgreSQL, and does not give away what it has not stored';
  const others = nodes.filter(({ name, alive, drained }) => name !== node.name && alive && !drained);
  if (others.length === 0) return 'no other node is up; start one';
  if (tracker !== undefined && others.every((other) => isDrainedFor(other, tracker))) {
    return `every other node is drained for ${tracker} as well`;
  }
  if ((node.use?.stuck ?? 0) > 0) {
    return `no other node may keep ${node.use!.stuck} of them: none that is up has their tracker in its config, its label, and code that can read their states`;
  }
  return 'other nodes take them slowly; see: npx longwatch nodes';
}
