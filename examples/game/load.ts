/**
 * The players: they fight, move, die, come back and drop things while the jobs run. Each act is one statement, which
 * also writes the books (`game.event`) where it changes what the check looks at. Started and stopped by `main.ts`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';

/** `before` follows from what comes back, and `at` is read when the row is locked. */
const FIGHT = `
  with fought as (
    update game.player set stamina = stamina - $2::int
    where id = $1 and not is_dead and stamina >= $2::int returning id, stamina
  ), turned as (
    update game.combat set rounds = rounds + 1, turn_started_at = now() where player = (select id from fought)
  )
  insert into game.event (player, kind, stamina_before, stamina_after, at)
  select id, 'fight', stamina + $2::int, stamina, clock_timestamp() from fought`;
const BEGIN_COMBAT = `
  insert into game.combat (player, enemy)
  select id, 'wolf' from game.player p
  where id = $1 and not is_dead and not exists (select from game.combat c where c.player = p.id)`;
const MOVE = `update game.player set x = x + $2::int, y = y - $2::int where id = $1 and not is_dead`;
const DIE = `
  with died as (update game.player set is_dead = true where id = $1 and not is_dead returning id, stamina)
  insert into game.event (player, kind, stamina_before, stamina_after, at)
  select id, 'death', stamina, stamina, clock_timestamp() from died`;
const REVIVE = `
  with back as (update game.player set is_dead = false where id = $1 and is_dead returning id, stamina)
  insert into game.event (player, kind, stamina_before, stamina_after, at)
  select id, 'revival', stamina, stamina, clock_timestamp() from back`;
const DROP = `insert into game.item (kind, x, y) select 'bone', x, y from game.player where id = $1`;

/** The number of each among a hundred acts. Most touch the row that the regen advances. */
const ACTS = [
  { name: 'fight', share: 50, text: FIGHT, amount: true },
  { name: 'move', share: 25, text: MOVE, amount: true },
  { name: 'combat', share: 10, text: BEGIN_COMBAT, amount: false },
  { name: 'drop', share: 10, text: DROP, amount: false },
  { name: 'die', share: 3, text: DIE, amount: false },
  { name: 'revive', share: 2, text: REVIVE, amount: false },
] as const;
export type Act = (typeof ACTS)[number];
export type ActName = Act['name'];

export interface LoadOptions {
  players: number;
  /** Acts a second, as long as the clients can keep up. */
  rate: number;
  clients: number;
}

export class Load {
  /** The acts that were written, by name. */
  readonly done = new Map<string, number>();
  private latencies: number[] = [];
  private running: Promise<unknown> | undefined;
  private readonly ending = new AbortController();

  constructor(
    private readonly pool: Pool,
    private readonly options: LoadOptions,
  ) {}

  start(): void {
    const { clients } = this.options;
    this.running = Promise.all(Array.from({ length: clients }, (_, client) => this.client(client)));
    // Told by `stop`.
    this.running.catch(() => undefined);
  }

  /** Resolves when the last act is through. @throws what a client failed with. */
  async stop(): Promise<void> {
    this.ending.abort();
    await this.running;
  }

  get acts(): number {
    return [...this.done.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Milliseconds of the acts since the last call, and begins anew. */
  round(): { acts: number; p50: number; p99: number } {
    const sorted = this.latencies.sort((a, b) => a - b);
    this.latencies = [];
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return { acts: sorted.length, p50: at(0.5), p99: at(0.99) };
  }

  private async client(client: number): Promise<void> {
    const { players, rate, clients } = this.options;
    const signal = this.ending.signal;
    const spacing = (1_000 * clients) / rate;
    let due = performance.now() + (spacing * client) / clients;
    while (!signal.aborted) {
      const wait = due - performance.now();
      if (wait > 0) await delay(wait, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      // A missed act is not made up for: a burst would be another load.
      due = Math.max(due + spacing, performance.now() - 1_000);
      await this.act(pick().name, 1 + Math.floor(Math.random() * players));
    }
  }

  /** One act of one player, at once. @param amount stamina that a fight costs, or how far one moves. */
  async act(name: ActName, player: number, amount = 1 + Math.floor(Math.random() * 10)): Promise<void> {
    const act = ACTS.find((known) => known.name === name)!;
    const began = performance.now();
    const values = act.amount ? [player, amount] : [player];
    const { rowCount } = await this.pool.query({ name: `game-${name}`, text: act.text, values });
    this.latencies.push(performance.now() - began);
    this.done.set(name, (this.done.get(name) ?? 0) + (rowCount ?? 0));
  }
}

function pick(): Act {
  let left = Math.random() * 100;
  return ACTS.find(({ share }) => (left -= share) < 0) ?? ACTS[0];
}
