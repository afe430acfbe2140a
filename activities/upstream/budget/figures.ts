/**
 * Every figure that the budget rests on, each with its reason. Most were measured in simulations (floating, fixed and
 * leaky limits of 42 to 18,000 tokens over 1 to 15 minutes, 1 to 16 nodes, ten kinds of fault). Used by the ledger, the
 * node's account and members' buckets.
 *
 * In this folder times are **seconds** and rates are **tokens a second**: headers, limits and PostgreSQL's clock speak
 * in seconds, and a rate is what most of the sums are about.
 */
export const FIGURES = {
  /**
   * How long a node may spend what it was granted. At 1 s all parts end between two renewals (0.26-0.78 of the tokens
   * used); 2 to 30 are alike.
   */
  part: 5,
  /** A node tells the ledger what it spent, and asks, this often. */
  renewal: 1,
  /**
   * The ledger ends a part this much later than the node does: the statement's own way, and clocks that run at other
   * speeds.
   */
  grace: 1,
  /**
   * The rest of a part that ended may still be spent, so it is charged this much later, and so is a request without an
   * answer: a frozen process may send when it wakes up. Without it 4 to 14 tokens are counted by the upstream and not
   * by us.
   */
  late: 30,
  /**
   * Slots of a window. 30 cost 3.2 % of the tokens (a slot comes back when its last moment is a window old), 120 a
   * quarter of that.
   */
  slots: 120,
  /** No slot is shorter, else a window of a second had thousands of slots ahead of now (`late`). */
  shortestSlot: 0.5,
  /** Ended parts are remembered for so long: whoever tells later what it really spent of one gets nothing back. */
  remembered: 600,

  /**
   * In hand for the time of a statement and until the next one, in seconds of what the node wants. More is lost with a
   * node that dies.
   */
  inHand: 1.5,
  /**
   * The peak of the tokens that requests under way reserve together differs by half from second to second. So a node
   * wants half as much again, and its memory of the peak fades by a fifth a second. Without both, a tenth of the
   * requests waited in the line of an error budget that was not near.
   */
  reservedMore: 1.5,
  reservedFades: 0.8,
  /**
   * A node's own pace, as a share of its rate: the requests of a second are not sent in its first moment. Below 1, so
   * that it catches up.
   */
  paceShare: 0.7,
  /**
   * No pause between two requests of a node is longer, however low its rate is: then its part holds it back, not its
   * pace.
   */
  longestPause: 0.5,
  /** A node may make up for so many seconds of its own pace that it missed. */
  paceDebt: 0.3,
  /** A run sets aside for its further requests what so many seconds of the node's pace bring, at most. */
  furtherSeconds: 2,
  /** The mean cost of a request follows the last answers with this weight. */
  costWeight: 0.05,

  /** The pace of a bucket never falls below this share of the limit, whoever else spends from it. */
  leastPace: 0.05,
  /** Besides a slot, this much of a window is lost to parts that are not yet told. */
  windowLoss: 1,
  /** With headers, this much more: what was surely in a header is an answer older. */
  headerLoss: 1.5,
  /**
   * Credit saves up what was missed, for so many seconds (or a thirtieth of the window) and caught up; what stood still
   * longer is not.
   */
  credit: 5,
  creditWindows: 1 / 30,
  /** A leaky bucket is made to be emptied at once: at least half of it. */
  leakyCredit: 0.5,
  /** Or one request of so many nodes, where that is more. */
  creditRequests: 4,
  /** Credit is paid out over so many seconds. */
  creditOver: 10,

  /**
   * A second, and the slowest answer lately: what came back to the window may not have been in a header that is so old.
   * It decays over `flightDecay`.
   */
  flight: 1,
  firstFlight: 6,
  flightDecay: 20,
  /**
   * A window that only resets tell of is believed to be a day long at most; so soon after it began anew, a reset is all
   * of it.
   */
  longestReset: 86_400,
  turn: 10,
  /** Past the reset that a header told, for its fractions of a second that are cut. */
  resetSlack: 1.5,

  /** Others' rate is looked at over 10 s, a tenth of the window or the time of 50 tokens, whatever is longest. */
  othersSpan: 10,
  othersWindows: 1 / 10,
  othersTokens: 50,
  /** Less than this share of the pace is rounding, more than that nobody can take. */
  othersLeast: 0.03,
  othersMost: 0.95,
  /** The share of the window that others hold follows a header over so many seconds. */
  othersSmooth: 5,
  /** Others may spend so many seconds of their rate until we hear of it. */
  othersAhead: 2,

  /**
   * A header is asked for when the last one is older than 2 s, a sixtieth of the window (15 s at most), or the time of
   * 20 tokens.
   */
  silence: 2,
  silenceMost: 15,
  silenceWindows: 1 / 60,
  silenceTokens: 20,

  /**
   * Refused, and no header says why: the limit is believed to be this share of what we had spent, and grows by so much
   * of itself a window.
   */
  belief: 0.95,
  beliefGrowth: 0.03,

  /** So many answers without a header that says a limit: it has to be felt for. */
  muteAnswers: 3,
  /**
   * Felt for: times √2 a second until the first refusal, then less by three tenths an episode, and up by 0.2 % of the
   * refused rate a second.
   */
  feltStart: 1,
  feltGrowth: Math.SQRT2,
  feltCut: 0.7,
  feltStep: 0.002,
  /** It grows only while at least this share of it is used: an idle upstream teaches nothing. */
  feltBusy: 0.4,
  /** Seconds over which the use of a felt-for rate is measured. */
  feltSpan: 4,

  /** A calendar window is believed to begin so much earlier and later than our clock says: the upstream has its own. */
  calendarSlack: 60,
  /**
   * Closed for longer than two windows, or a quarter of an hour where that is more: somebody's clock is wrong, or
   * worse.
   */
  closedWindows: 2,
  closedLeast: 900,
  /** Closed, and nobody can read for how long. */
  closedUsual: 15,
  /**
   * The clocks of two database machines differ by less. A bucket that nobody used for long before a fail-over need not
   * wait for its whole window again.
   */
  machinesDiffer: 300,
  /** A fail-over to a standby that streams loses no more than the commits of so many seconds. */
  lostCommits: 10,
  /** Seconds of the account that are kept while nobody knows the window. */
  unknownWindow: 300,
  /** Places of a concurrent limit have no window; what refusals make us believe of it grows as if it were this long. */
  concurrentWindow: 60,
  /** Times are in seconds, and nothing that is told is believed to be further away than this. */
  year: 366 * 86_400,
} as const;
