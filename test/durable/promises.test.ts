/**
 * Faults that hostile readers had found in durable activities, each by its kind: leases in outages, one attempt is one
 * run, keys of what was taken back. The parts share one database (`promises/two-nodes.ts`).
 */
import './promises/attempts';
import './promises/given';
import './promises/taken-back';
import './promises/results';
