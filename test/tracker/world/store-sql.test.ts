/**
 * The model of the store (`store.ts`) beside the real PostgreSQL: the same random sequences go through both, by the
 * functions that shifts and rosters use, and each statement must answer alike and leave the same rows. Not
 * compared are waiting (the model's lock is asked, not waited for), keys (told to the model) and the time that it is.
 */
import { pino } from 'pino';
import type { PoolClaim, PoolOwner } from '../../../activities/tracker/store/fence';
import { lockFences, takeFence } from '../../../activities/tracker/store/fence';
import { applyRoster } from '../../../activities/tracker/roster/apply';
import type { Failure, Success } from '../../../activities/tracker/shift/results';
import { Database, type Queryable } from '../../../activities/lib/database';
import { changedMembers, freshnessOf, membersOf, purgeTombstones } from '../../../activities/tracker/store/members';
import { raiseVersions, readSlots, splitPool } from '../../../activities/tracker/store/pools';
import { readTracker, setPools } from '../../../activities/tracker/store/trackers';
import { writeFailures, writeSuccesses } from '../../../activities/tracker/store/values';
import { defineTracker } from '../../../exports';
import { rowOf, T0 } from '../shift-kit';
import { simulate } from '../../support/simulate';
import { Stack } from '../../support/stack';
import { slotsOf } from '../../../workflows/tracker/slots';
import { Draws } from '../../support/draws';
import { Store, Transaction } from './store';

const ROW = rowOf(
  defineTracker({
    name: 't',
    operations: { look: { every: '1s', run: () => ({ value: 1 }) }, scan: { every: '1s', run: () => ({ value: 1 }) } },
  }),
);
const NO_JSON = 'this is no JSON';
const IDS = ['a', 'b', 'c', 'd', 'e', 'жж', 'f g'];

let stack: Stack;
let database: Database;
beforeAll(async () => {
  stack = await Stack.start();
  database = new Database({ url: stack.servers.databaseUrl, log: pino({ level: 'silent' }) });
});
afterAll(async () => {
  await database?.close();
  await stack?.close();
});

type Row = Record<string, unknown>;
/** All of the answers but the time that it is. */
const comparable = (rows: unknown[]): string[] =>
  (rows as Row[])
    .map((row) => {
      const told = Object.entries(row).filter(([name]) => !['now', 'taken_at', 'added_at', 'changed'].includes(name));
      return JSON.stringify({ ...Object.fromEntries(told), changed: row.changed === true }, sorted);
    })
    .sort();
function sorted(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** One statement, asked of both. */
class Both implements Pick<Queryable, 'query'> {
  constructor(
    private readonly real: Queryable,
    private readonly model: Store,
    private readonly tx: Transaction,
  ) {}

  query = (async (statement: { name: string; text: string; values: unknown[] }) => {
    await this.real.query({ text: 'savepoint one', values: [] });
    let found: { rows: unknown[] } = { rows: [] };
    let real: string[];
    try {
      found = await this.real.query(statement);
      real = comparable(found.rows);
    } catch (thrown) {
      await this.real.query({ text: 'rollback to savepoint one', values: [] });
      real = [`refused: ${(thrown as { code: string }).code}`];
    }
    let model: string[];
    this.tx.savepoint();
    try {
      model = comparable(this.model.run(this.tx, statement));
    } catch (thrown) {
      this.tx.rollbackToSavepoint();
      model = [`refused: ${(thrown as { code: string }).code}`];
    }
    if (JSON.stringify(real) !== JSON.stringify(model)) {
      const values = JSON.stringify(statement.values);
      throw new Error(`${statement.name} ${values}\n of PostgreSQL: ${real.join()}\n of the model: ${model.join()}`);
    }
    return found;
  }) as unknown as Queryable['query'];
}

class Sequence {
  private readonly draw: Draws;
  private readonly model: Store;
  private time = 0;
  private stamp = 0;
  private readonly owners: PoolOwner[] = [];

  constructor(seed: number) {
    this.draw = new Draws(seed);
    const row = structuredClone(ROW);
    row.pools = this.draw.whole(1, 3);
    row.since = {};
    this.model = new Store(
      row,
      () => this.time,
      () => T0 + this.time,
    );
    this.model.refuses = (json) => json === NO_JSON;
  }

  async go(): Promise<void> {
    await stack.sql('delete from longwatch.tracker');
    const options = { ...ROW.options, tombstonesMs: 0 };
    await stack.sql('insert into longwatch.tracker (name, options, pools, gate_open) values ($1, $2, $3, $4)', [
      't',
      JSON.stringify(options),
      this.model.tracker.pools,
      this.model.tracker.gateOpen,
    ]);
    this.model.tracker.options.tombstonesMs = 0;
    await stack.sql(
      `insert into longwatch.pool (tracker, pool, roster_version) select 't', p, 1 from generate_series(0, $1) p`,
      [this.model.tracker.pools - 1],
    );
    for (let step = 0; step < 25; step++) {
      this.time += 10;
      await this.step();
      await this.sameRows();
    }
  }

  private async step(): Promise<void> {
    const { draw } = this;
    const what = draw.whole(0, 9);
    if (what <= 2) await this.changeRoster();
    else if (what === 3 && this.model.tracker.pools < 6) await this.split();
    else if (what === 4) await this.purge();
    else if (what === 5) await this.takePool();
    else await this.transaction(draw.chance(0.8));
  }

  private async changeRoster(): Promise<void> {
    const [id, removed] = [this.draw.one(IDS), this.draw.chance(0.4)];
    const change = removed ? ('remove' as const) : ('add' as const);
    const pool = this.model.poolOf(id);
    await applyRoster(database, { tracker: 't', pool, changes: [{ id, change, stamp: ++this.stamp }] });
    const [row] = await stack.sql<{ key: number }>('select key::float8 as key from longwatch.member where id = $1', [
      id,
    ]);
    this.model.change(id, removed, row!.key);
  }

  private async split(): Promise<void> {
    const { tracker } = this.model;
    await database.transaction(async (db) => {
      await setPools(db, 't', tracker.pools + 1);
      await splitPool(db, 't', tracker.pools);
    });
    this.model.split();
  }

  /** All that are old enough, which all are. */
  private async purge(): Promise<void> {
    await purgeTombstones(database);
    for (const id of IDS) this.model.purge(id);
  }

  private async takePool(): Promise<void> {
    const { draw, model } = this;
    const claim: PoolClaim = {
      tracker: 't',
      pool: draw.whole(0, model.tracker.pools - 1),
      runId: draw.one(['run a', 'run b']),
      shift: draw.whole(1, 3),
      attempt: draw.whole(1, 2),
      node: 'n',
    };
    const tx = new Transaction(model, 0);
    const rows = (statement: { name: string; text: string }, values: unknown[] = []) =>
      database.transaction(async (db) => (await new Both(db, model, tx).query({ ...statement, values })).rows);
    const transaction = <T>(work: (db: Queryable) => Promise<T>) =>
      database.transaction((db) => work(new Both(db, model, tx) as unknown as Queryable));
    const isCurrent = draw.chance(0.7);
    try {
      const taken = takeFence({ rows, transaction } as unknown as Database, claim, () => Promise.resolve(isCurrent));
      this.owners.push({ claim, token: (await taken).token });
    } catch (thrown) {
      if ((thrown as { type?: unknown }).type !== 'Fenced') throw thrown;
    }
    model.commit(tx);
  }

  /** As a flush: fences, rosters, values; kept, or thrown away. Somebody may have a pool locked. */
  private async transaction(commits: boolean): Promise<void> {
    const { draw, model } = this;
    const locked = draw.chance(0.3) ? draw.whole(0, model.tracker.pools - 1) : undefined;
    const locker = new Transaction(model, 0);
    const away = new Error('thrown away');
    await database
      .transaction(async (other) => {
        // The version is put back with the transaction.
        if (locked !== undefined) {
          await raiseVersions(other, 't', [locked]);
          model.lockAlone(locked, locker);
        }
        const tx = new Transaction(model, 0);
        await database
          .transaction(async (real) => {
            const db = new Both(real, model, tx) as unknown as Queryable;
            await lockFences(db, this.someOwners());
            for (let i = draw.whole(1, 5); i > 0; i--) await this.statement(db);
            if (!commits) throw away;
          })
          .catch((thrown: unknown) => {
            if (thrown !== away) throw thrown;
          });
        if (commits) model.commit(tx);
        else tx.over = true;
        locker.over = true;
        throw away;
      })
      .catch((thrown: unknown) => {
        if (thrown !== away) throw thrown;
      });
  }

  private someOwners(): PoolOwner[] {
    const { draw } = this;
    return this.owners
      .filter(() => draw.chance(0.6))
      .map(({ claim, token }) => ({
        claim: draw.chance(0.1) ? { ...claim, attempt: claim.attempt + 1 } : claim,
        token: draw.chance(0.1) ? token + 1 : token,
      }));
  }

  private async statement(db: Queryable): Promise<void> {
    const { draw, model } = this;
    const keys = [...model.byKey.keys()];
    const pool = draw.whole(0, model.tracker.pools - 1);
    const slots = slotsOf(pool, model.tracker.pools);
    const what = draw.whole(0, 7);
    if (what === 0) await membersOf(db, 't', slots);
    else if (what === 1) await changedMembers(db, 't', slots, draw.whole(0, 5));
    else if (what === 2) await freshnessOf(db, keys);
    else if (what === 3) await readSlots(db, 't', pool);
    else if (what === 4) await readTracker(db, 't');
    else if (what === 5)
      await writeFailures(db, [{ operation: draw.one(['look', 'scan']), rows: this.failures(keys) }]);
    else {
      const onChanged = draw.chance(0.5) ? () => undefined : undefined;
      await writeSuccesses(db, [{ operation: draw.one(['look', 'scan']), rows: this.successes(keys) }], { onChanged });
    }
  }

  /** Some of the members; now and then one twice, or one that is not there. */
  private some(keys: number[]): number[] {
    const { draw } = this;
    const some = keys.filter(() => draw.chance(0.5));
    if (some.length > 0 && draw.chance(0.1)) some.push(some[0]!);
    if (draw.chance(0.1)) some.push(9_999_999);
    return some;
  }

  private successes(keys: number[]): Success[] {
    const { draw } = this;
    return this.some(keys).map((key) => ({
      key,
      json: draw.chance(0.03) ? NO_JSON : draw.one(['1', '2', '{"a":"ж"}', 'null', null, null]),
      etag: draw.one([null, 'e1', '"\\x,{}']),
      // Now and then the same run again.
      fetchedAt: T0 + 1_000.5 * draw.whole(0, 3),
      expiresAt: draw.one([null, T0 + 9_000]),
    }));
  }

  private failures(keys: number[]): Failure[] {
    const { draw } = this;
    return this.some(keys).map((key) => ({
      key,
      failedAt: T0 + 1_000.5 * draw.whole(0, 3),
      error: draw.one(['Error: down', 'HoldError: busy']),
      heldUntil: draw.one([null, T0 + 9_000]),
      inARow: draw.whole(1, 9),
    }));
  }

  private async sameRows(): Promise<void> {
    const ms = (column: string) => `(extract(epoch from ${column}) * 1000)::float8`;
    const real = {
      pools: await stack.sql(
        `select pool, token::float8 as token, run_id as "runId", shift, attempt, roster_version::float8 as "rosterVersion",
                reload_version::float8 as "reloadVersion", node, taken_at is not null as "wasTaken"
         from longwatch.pool order by pool`,
      ),
      members: await stack.sql(
        `select key::float8 as key, id, roster_version::float8 as "rosterVersion", removed_at is not null as removed
         from longwatch.member order by key`,
      ),
      values: await stack.sql(
        `select member::float8 as member, operation, value, etag, failures, error, ${ms('fetched_at')} as "fetchedAt",
                ${ms('expires_at')} as "expiresAt", ${ms('changed_at')} as "changedAt", ${ms('failed_at')} as "failedAt",
                ${ms('held_until')} as "heldUntil"
         from longwatch.value order by member, operation`,
      ),
    };
    const { model } = this;
    const byNumber = <T>(rows: Map<number, T>) => [...rows].sort(([a], [b]) => a - b);
    expect(real.pools).toEqual(
      // When it was taken is not the same on both sides: each has a clock of its own.
      byNumber(model.pools).map(([pool, { takenAt, ...row }]) => ({
        pool,
        ...row,
        wasTaken: takenAt !== null,
        ...(row.runId === null && { shift: null, attempt: null }),
      })),
    );
    expect(real.members).toEqual(
      byNumber(model.byKey).map(([key, { id, rosterVersion, removed }]) => ({ key, id, rosterVersion, removed })),
    );
    const values = [...model.values].map(([name, row]) => {
      const [member, operation] = name.split('/') as [string, string];
      return {
        member: Number(member),
        operation,
        ...row,
        value: row.value === null ? null : (JSON.parse(row.value) as unknown),
      };
    });
    expect(real.values).toEqual(values.sort((a, b) => a.member - b.member || (a.operation < b.operation ? -1 : 1)));
  }
}

simulate(
  'the model of the store answers as PostgreSQL does, statement by statement, and leaves the same rows',
  (seed) => new Sequence(seed).go(),
  { histories: 60 },
);
