/**
 * The check of the game: is every player's stamina exactly what the rule and the books of the load say, has each idle
 * fight ended once, is nothing old left on the ground? Called by `main.ts` when the load and the jobs have ended.
 */
import type { Pool } from 'pg';
import type { GameSettings } from './settings';
import { NEW_PLAYER, type Seeding } from './world';

export interface Line {
  what: string;
  holds: boolean;
}

/**
 * Each player's life as a chain: as it was made, what the load did to it, as it is now. Between two links only the
 * regen may have changed it, by k × its gain up to the maximum, where k lies between the ticks that began and ended
 * between the two and those that touched that time at all; the dead get nothing. And over a whole life without a death,
 * the k are all the ticks there were (as far as the maximum does not hide one): so a tick that a row has missed, or got
 * twice, is found, also among those that overlap an act.
 */
const WRONG_STAMINA = `
  with tick as materialized (
    select started_at, ended_at, elapsed from longwatch.tick where job = 'stamina'
  ), ticks as materialized (
    select coalesce(sum(elapsed), 0)::int as n from tick
  ), touched as materialized (
    select distinct player as id from game.event
  ), born as (
    select id, ${NEW_PLAYER.stamina} as stamina, ${NEW_PLAYER.isDead} as dead, 1 + ${NEW_PLAYER.endurance} / 10 as gain, ${NEW_PLAYER.maxStamina} as most
    from generate_series(1, $1::bigint) as id
  ), untouched as (
    select b.id from born b join game.player p using (id) cross join ticks
    where not exists (select from touched t where t.id = b.id)
      and (p.stamina <> case when b.dead then b.stamina else least(b.stamina + ticks.n * b.gain, b.most) end or p.is_dead <> b.dead)
  ), link as (
    select b.id, 0::bigint as place, '-infinity'::timestamptz as at, b.stamina as before, b.stamina as after, b.dead
    from born b join touched using (id)
    union all
    select player, id, at, stamina_before, stamina_after, kind = 'death' from game.event
    union all
    select p.id, 9223372036854775807, 'infinity', p.stamina, p.stamina, p.is_dead from game.player p join touched using (id)
  ), step as (
    select id, before, b.gain, b.most, at, lag(after) over life as was, lag(l.dead) over life as was_dead, lag(at) over life as since
    from link l join born b using (id) window life as (partition by id order by place)
  ), counted as (
    select s.*, coalesce(c.sure, 0) as sure, coalesce(c.possible, 0) as possible
    from step s left join lateral (
      select sum(elapsed) filter (where started_at > s.since and ended_at < s.at) as sure,
             sum(elapsed) filter (where ended_at > s.since and started_at < s.at) as possible from tick
    ) c on true
    where s.was is not null
  ), chain as (
    select id, case when was_dead then before = was
      else before between least(was + sure * gain, most) and least(was + possible * gain, most)
           and (before = most or (before - was) % gain = 0) end as holds
    from counted
  ), life as (
    select c.id, sum((before - was) / gain) as ticks from counted c group by c.id
    having not bool_or(was_dead) and not bool_or(before = most)
  )
  select id from untouched
  union select id from chain where not holds
  union select id from life cross join ticks where life.ticks <> ticks.n`;

export async function checkGame(
  pool: Pool,
  seeding: Seeding,
  settings: GameSettings,
  done: Map<string, number>,
): Promise<Line[]> {
  const one = async (text: string, values: unknown[] = []): Promise<number> =>
    Number((await pool.query<{ n: string | number | null }>(text, values)).rows[0]?.n ?? 0);
  const line = (what: string, actual: number, expected: number): Line => ({
    what: `${what}: ${figure(actual)}${actual === expected ? '' : `, and should be ${figure(expected)}`}`,
    holds: actual === expected,
  });
  return [
    line('players', await one('select count(*) as n from game.player'), seeding.players),
    line(
      'players whose stamina is not what rule and books say',
      await one(`select count(*) as n from (${WRONG_STAMINA}) as wrong`, [seeding.players]),
      0,
    ),
    line(
      'fights that go on or have ended',
      await one('select (select count(*) from game.combat) + (select count(*) from game.combat_result) as n'),
      seeding.combats + (done.get('combat') ?? 0),
    ),
    line(
      'fights that ended twice',
      await one('select count(*) - count(distinct combat) as n from game.combat_result'),
      0,
    ),
    line(
      'fights that ended though a turn was made in time',
      await one('select count(*) as n from game.combat_result where idle < make_interval(secs => $1)', [
        settings.idleSeconds,
      ]),
      0,
    ),
    line(
      'idle fights that go on',
      await one(overdue('game.combat', 'turn_started_at', 'combats'), [settings.idleSeconds]),
      0,
    ),
    line(
      'items on the ground or decayed',
      await one(
        `select (select count(*) from game.item) + (select coalesce(sum(rows), 0) from longwatch.tick where job = 'items') as n`,
      ),
      seeding.items + (done.get('drop') ?? 0),
    ),
    line('old items on the ground', await one(overdue('game.item', 'dropped_at', 'items'), [settings.decaySeconds]), 0),
    line('rows that a job failed on', await one('select count(*) as n from longwatch.failed_row'), 0),
  ];
}

/** Rows that were due when the job's last tick began, and are still there. */
function overdue(table: string, column: string, job: string): string {
  return `select count(*) as n from ${table} where ${column} < (
    select max(started_at) from longwatch.tick where job = '${job}' and ended_at is not null) - make_interval(secs => $1)`;
}

const figure = (value: number): string => value.toLocaleString('en-US');
