/**
 * `npm run example -- game [--players 10000] [--ticks 3] [--every 10s] [--load 300] [--workers 1] [--kill-every
 * 5s]`: a game's background jobs over its players, while they play; then checks every player's stamina against the rule
 * and the books, and ends with 0 only if all of it holds. Ctrl-C ends it before that, with 130.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, resolveConfig, type Longwatch } from 'longwatch';
import { migrate } from 'longwatch/worker';
import { Pool } from 'pg';
import { pino } from 'pino';
import { interrupted, interruption } from '../../cli/interrupt';
import { parseDuration } from '../../config/values';
import { startDevServers } from '../../workers/dev/servers';
import { Workers } from '../workers';
import { checkGame } from './check';
import { gameJobs } from './jobs';
import { Load } from './load';
import { Report } from './report';
import { SETTINGS_VARIABLE, type GameSettings } from './settings';
import { migrateGame, seedGame, settleGame, type Seeding } from './world';
import { temporaryFolder } from '../../workers/dev/temporary';

const LOG = pino({ level: 'error' }, pino.destination({ fd: 2, sync: true }));
const CLIENTS = 8;
const LOOK_MS = 250;
/** A tick that takes longer than so many intervals will not come. */
const PATIENCE = 5;
const READY_MS = 60_000;

interface Flags {
  players: number;
  ticks: number;
  every: string;
  everyMs: number;
  load: number;
  workers: number;
  killEveryMs: number | undefined;
}

function readFlags(): Flags {
  const { values } = parseArgs({
    options: {
      players: { type: 'string', default: '10000' },
      ticks: { type: 'string', default: '3' },
      every: { type: 'string', default: '10s' },
      load: { type: 'string', default: '300' },
      workers: { type: 'string' },
      'kill-every': { type: 'string' },
    },
  });
  const whole = (name: string, text: string, least: number, most: number): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new TypeError(`--${name} must be a whole number from ${least} to ${most}`);
    }
    return value;
  };
  const duration = (name: string, text: string, least: number): number => {
    const ms = parseDuration(text);
    if (ms === undefined || ms < least) {
      throw new TypeError(`--${name} must be a duration of at least ${least} ms, such as '10s'`);
    }
    return ms;
  };
  const kill = values['kill-every'];
  return {
    players: whole('players', values.players, 100, 100_000_000),
    ticks: whole('ticks', values.ticks, 1, 10_000),
    every: values.every,
    everyMs: duration('every', values.every, 1_000),
    load: whole('load', values.load, 0, 100_000),
    // Killed is only one that leaves another at work.
    workers: whole('workers', values.workers ?? (kill === undefined ? '1' : '2'), 1, 16),
    killEveryMs: kill === undefined ? undefined : duration('kill-every', kill, 200),
  };
}

/** Short enough that a run of some ticks sees fights go idle and items grow old. */
function settingsOf({ every, everyMs }: Flags): GameSettings {
  const seconds = Math.ceil(everyMs / 1_000);
  return { regenEvery: every, combatEvery: every, decayEvery: every, idleSeconds: seconds, decaySeconds: seconds };
}

function seedingOf({ players }: Flags, { idleSeconds, decaySeconds }: GameSettings): Seeding {
  const some = Math.floor(players / 100);
  return {
    players,
    combats: some,
    idleCombats: Math.floor(some / 2),
    idleSeconds,
    items: some,
    oldItems: Math.floor(some / 2),
    decaySeconds,
  };
}

/** The servers, the worker processes and the players' connections of one run. */
interface Game {
  longwatch: Longwatch;
  workers: Workers;
  pool: Pool;
  databaseUrl: string;
  load: Load;
}

/** The world is made, ticks pass while the players play, and then all of it is checked. @returns whether it holds */
async function play({ longwatch, workers, pool, databaseUrl, load }: Game, flags: Flags): Promise<boolean> {
  const settings = settingsOf(flags);
  const seeding = seedingOf(flags, settings);
  const began = performance.now();
  await migrate(databaseUrl, LOG);
  await migrateGame(databaseUrl, LOG);
  await seedGame(pool, seeding, (made) => console.log(`${made.toLocaleString('en-US')} players are there`));
  await settleGame(databaseUrl);
  console.log(`made in ${((performance.now() - began) / 1_000).toFixed(1)} s\n`);

  await Promise.all(Array.from({ length: flags.workers }, () => workers.start()));
  const { jobs } = resolveConfig(gameJobs(settings));
  for (const { name, options } of jobs) await longwatch.job(name).start(options);
  const names = jobs.map(({ name }) => name);
  const report = new Report(longwatch, names, load, console.log);
  if (flags.load > 0) load.start();
  const killer = flags.killEveryMs === undefined ? undefined : setInterval(() => workers.killOne(), flags.killEveryMs);
  const until = Date.now() + (flags.ticks + 1) * flags.everyMs * PATIENCE + READY_MS;
  for (let left = flags.ticks; left > 0; left -= await report.look('stamina')) {
    if (Date.now() > until) throw new Error('the jobs do not come along: see GAME_LOG=info');
    await delay(LOOK_MS);
  }
  clearInterval(killer);
  await load.stop();

  const restMs = Math.max(settings.idleSeconds, settings.decaySeconds) * 1_000;
  console.log(
    `\nNobody plays any more: in ${restMs / 1_000} s each fight is idle, each item old, and a last tick ends them`,
  );
  await delay(restMs + LOOK_MS);
  const signal = AbortSignal.timeout(READY_MS + flags.everyMs * PATIENCE);
  for (const name of names) await longwatch.job(name).run({ signal });
  await report.look('stamina');
  for (const name of names) await longwatch.job(name).stop();

  const acts = [...load.done].map(([act, count]) => `${count.toLocaleString('en-US')} × ${act}`).join(', ');
  console.log(`\n${acts || 'no load'}${workers.deaths > 0 ? `; ${workers.deaths} workers died` : ''}\n`);
  const lines = await checkGame(pool, seeding, settings, load.done);
  for (const { what, holds } of lines) console.log(`${holds ? 'ok  ' : 'NOT '} ${what}`);
  return lines.every((line) => line.holds);
}

/** @returns the exit status: 0 all of it holds, 1 it does not, 130 it was ended before that was known. */
async function main(): Promise<number> {
  const flags = readFlags();
  const stopped = interruption('Ending the players, the jobs and the servers …');
  const folder = temporaryFolder('game');
  const servers = await startDevServers({ dir: path.join(folder, 'servers'), ui: false, log: LOG });
  const { databaseUrl, temporalAddress, namespace } = servers;
  const workers = new Workers(path.join(__dirname, 'worker.ts'), {
    TEMPORAL_ADDRESS: temporalAddress,
    DATABASE_URL: databaseUrl,
    [SETTINGS_VARIABLE]: JSON.stringify(settingsOf(flags)),
  });
  const pool = new Pool({ connectionString: databaseUrl, max: CLIENTS });
  pool.on('error', () => undefined);
  const load = new Load(pool, { players: flags.players, rate: flags.load, clients: CLIENTS });
  const environment = { temporal: { address: temporalAddress, namespace }, databaseUrl };
  const longwatch = await connect({ environment });
  try {
    const played = play({ longwatch, workers, pool, databaseUrl, load }, flags);
    // Its work fails when the servers end, and that is right.
    played.catch(() => undefined);
    const holds = await Promise.race([played, interrupted(stopped)]);
    if (holds === undefined) return 130;
    console.log(holds ? '\nall of it holds' : '\nit does not hold');
    return holds ? 0 : 1;
  } finally {
    await load.stop().catch(() => undefined);
    await workers.stop();
    await longwatch.close();
    await servers.stop();
    await pool.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    console.error((error as Error).message);
    process.exit(error instanceof TypeError ? 2 : 1);
  },
);
