/**
 * The cost of a player: room on disk, and of one tick time and write-ahead log. From these, tables of any size can be
 * reckoned on paper, as docs/growth.md does for a hundred million.
 */
import { migrateGame, seedGame, settleGame } from '../../../examples/game/world';
import type { Stack } from '../../../test/support/stack';
import type { Bench } from '../../harness/bench';
import type { Reading } from '../../harness/scenario';

const PLAYERS = 1_000_000;
const TICK = `update game.player set stamina = least(stamina + 1 + endurance / 10, max_stamina)
              where not is_dead and stamina < max_stamina`;

export async function measureSize(bench: Bench, stack: Stack): Promise<Reading[]> {
  bench.say(`${PLAYERS.toLocaleString('en-US')} players`);
  await migrateGame(stack.servers.databaseUrl, stack.log);
  const none = { combats: 0, idleCombats: 0, idleSeconds: 1, items: 0, oldItems: 0, decaySeconds: 1 };
  await seedGame(stack.pool, { players: PLAYERS, ...none });
  await settleGame(stack.servers.databaseUrl);
  const one = async (text: string): Promise<number> =>
    Number((await stack.sql<{ n: string }>(`select ${text} as n`))[0]!.n);
  const heap = await one(`pg_relation_size('game.player')`);
  const index = await one(`pg_indexes_size('game.player')`);
  const tick = async (): Promise<{ rows: number; ms: number; wal: number }> => {
    const before = await one(`pg_current_wal_insert_lsn() - '0/0'`);
    const began = performance.now();
    const { rowCount } = await stack.pool.query(TICK);
    const ms = performance.now() - began;
    return { rows: rowCount ?? 0, ms, wal: (await one(`pg_current_wal_insert_lsn() - '0/0'`)) - before };
  };
  await tick();
  bench.say('a tick right after a checkpoint, and the one after it');
  await stack.sql('checkpoint');
  const first = await tick();
  const second = await tick();
  const reading = (measure: string, ours: number, unit: string): Reading => ({ measure, ours, unit });
  return [
    reading('room of a player, table', heap / PLAYERS, 'B'),
    reading('room of a player, primary key', index / PLAYERS, 'B'),
    reading('log of a tick, a row, right after a checkpoint', first.wal / first.rows, 'B'),
    reading('log of a tick, a row, later', second.wal / second.rows, 'B'),
    reading('a tick as one bare statement, a row', (second.ms / second.rows) * 1_000, 'us'),
  ];
}
