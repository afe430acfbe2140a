/**
 * Every figure of placement, in one place, each with its reason. All other files of this folder read them from here,
 * and nothing of the environment changes them: nodes that disagree about them would undo each other's moves.
 *
 * "Simulated" below means: 2 to 64 nodes with 10 to 5,000 pools, on one Temporal server that does one thing at a time
 * (a move costs it about 11 ms, so 90 moves a second). `test/tracker/placement/simulated-cluster.ts` is a smaller form
 * of that simulation.
 */
export interface PlacementConstants {
  /**
   * A pool of a shared queue may bring a node over its fair share by this part of it; beyond that the node hands it on.
   */
  readonly slack: number;
  /** The same for a pool that another node chose this one for. Larger, since that node has looked already. */
  readonly chosenSlack: number;
  /** So often a pool is handed on; then whoever may keep it takes it. */
  readonly maxHops: number;
  /** A node this part of its share away from it is out of balance: below, it asks; above, it is asked. */
  readonly band: number;
  /** Nobody is asked to go below this part of its own share. */
  readonly floor: number;
  /**
   * Pools smaller than this part of the giver's mean pool are not moved while giver and asker are inside half the band.
   */
  readonly dust: number;
  /**
   * Pools on their way at once, of all givers of the cluster together, as far as their views agree and each has a part
   * of one at least. The nodes that must give have as many besides.
   */
  readonly poolsInFlight: number;
  /** Members on their way at once, of one giver. */
  readonly membersInFlight: number;
  /** An ask to which nothing comes ends after this long. Milliseconds, as all below. */
  readonly askMs: number;
  /** A giver that has found nothing to give for so long says so. */
  readonly nothingToGiveMs: number;
  /** A node that gave nothing is not asked again for so long. */
  readonly refusedMs: number;
  /** After an ask that would have brought too much, so long none is made. */
  readonly tooMuchSilenceMs: number;
  /** A pool that came from another node is not given back to it for asking for so long. */
  readonly newcomerMs: number;
  /** A hand-over that takes longer than this shows a server that is behind: then a node takes what it is offered. */
  readonly jamMs: number;
  /** So long a slow hand-over is held against the server. */
  readonly jamMemoryMs: number;
  /** A row that is older is counted, and nothing is handed to its node. */
  readonly staleMs: number;
  /** A row that is older is that of a node that is gone. */
  readonly goneMs: number;
  /** How much a clock of a node may differ from the database's, after it was set by it. */
  readonly clockErrorMs: number;
  /** After its rows were old (an outage of PostgreSQL) or a start, a node neither gives nor asks for so long. */
  readonly settleMs: number;
  /** A hand-over of which nothing was heard is forgotten after so long: its pool is on the shared queue again. */
  readonly handOverMs: number;
  /** How long a pool waits on a node's own queue; then it goes to the shared one. */
  readonly ownQueueMs: number;
  /** A pool that no node may keep is offered again after this long, twice as long each time, up to `nobodyMaxMs`. */
  readonly nobodyMs: number;
  readonly nobodyMaxMs: number;
}

export const PLACEMENT: PlacementConstants = {
  // Simulated: 0 makes 66 hand-overs after a kill, since each survivor's view is a little old; 5 % makes none that
  // matter.
  slack: 0.05,
  // Simulated: without it two nodes whose views differ hand a pool to and fro, and it waits for more than a second.
  chosenSlack: 0.25,
  // Simulated: at 1 pools end where nobody wanted them when a view is old; a third changes nothing and costs 60 ms.
  maxHops: 2,
  // Simulated: 5 % makes four times as many moves after a kill; 20 % leaves the cluster unbalanced for 20 s.
  band: 0.1,
  // Simulated: at 1 a newcomer at 64 nodes costs twice the moves, since givers that are just at their share give
  // nothing.
  floor: 0.96,
  // A move is a gap of 60 ms for every member of the pool, whatever the pool weighs.
  dust: 0.5,
  // Simulated, 4, 8, 16, 32, 64: a third node has its share after 5.6, 3.1, 2.1, 2.1, 2.1 s, and one pool in a hundred
  // waits 62, 102, 192, 350, 303 ms. Without any limit the server falls behind: four times the moves, and waits of 21
  // s.
  poolsInFlight: 16,
  // A node loads about 100,000 members a second, so this many are loaded in the tenth of a second that a hand-over
  // takes anyway.
  membersInFlight: 10_000,
  // Three times the second after which a giver reads the ask.
  askMs: 3_000,
  // A giver's view is up to a second old; what it cannot see yet it sees in the second after that.
  nothingToGiveMs: 1_500,
  // Long against a round of asking, short against a person who waits.
  refusedMs: 10_000,
  // Pools on their way arrive, and the rows show it, before the next ask.
  tooMuchSilenceMs: 2_500,
  // By then an ask that was made before it came has ended, and the next one has seen it.
  newcomerMs: 5_000,
  // Eight times what a hand-over takes on a server that is not behind.
  jamMs: 500,
  jamMemoryMs: 3_000,
  // Rows are written each second: three are missing.
  staleMs: 3_000,
  // Five are missing. Longer than a pause for a collection of garbage or a failover of the pooler, as long as a
  // heartbeat timeout.
  goneMs: 5_000,
  clockErrorMs: 500,
  // Two rounds of rows, so that all peers have written after the outage.
  settleMs: 2_000,
  // The wait on the own queue, a full start of a shift, and the time until the flush that sees its fence: about 3 s on
  // a busy server.
  handOverMs: 8_000,
  // Sixteen times what a node with an open poll needs.
  ownQueueMs: 1_000,
  nobodyMs: 250,
  nobodyMaxMs: 5_000,
};
