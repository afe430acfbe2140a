/**
 * The model of the store (`store.ts`) beside the real PostgreSQL: the same random sequences of inserts, readings,
 * commits, removals and steps of the mail tables go through both, and each must answer alike and leave the same rows.
 * Not compared are times that the server's clock says.
 */
import { pino } from 'pino';
import { Database } from '../../../activities/lib/database';
import type { Commit, MemberPart, PoolPart } from '../../../activities/tracker/member/commit';
import { MEMBER, type MemberLimits } from '../../../activities/tracker/member/constants';
import type { Stored } from '../../../activities/tracker/member/member';
import { tableStep } from '../../../activities/tracker/member/rotation';
import type { Answer, Image, Sent, Timer } from '../../../activities/tracker/member/types';
import { byId } from '../../../activities/tracker/route';
import type { PoolOwner } from '../../../activities/tracker/store/fence';
import { endLives } from '../../../activities/tracker/store/ended-lives';
import { commitTurns, loadLives, timersDue } from '../../../activities/tracker/store/lives';
import { insertMail, readMail } from '../../../activities/tracker/store/mail';
import { mailTables, stepTables } from '../../../activities/tracker/store/mail-tables';
import { hashId } from '../../../workflows/lib/hash';
import { slotOf, slotsOf } from '../../../workflows/tracker/slots';
import { Draws } from '../../support/draws';
import { simulate } from '../../support/simulate';
import { Stack } from '../../support/stack';
import { MemberStore, type NewMail } from './store';

const LIMITS: MemberLimits = {
  ...MEMBER,
  memberMail: { entries: 4, bytes: 100 },
  handlerMail: { entries: 6, bytes: 120 },
  tableMs: 0,
  carryRows: 3,
};
const IDS = ['a', 'b', 'c', 'жж', 'f g\u0301'];
const ALL = [0, 1, 2];
const away = new Error('thrown away');

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

/** Without the times at which rows were written. */
function timeless({ image, ...rest }: Stored): Stored {
  const marks = [...image.marks].map(([sender, mark]) => [sender, { ...mark, at: 0 }] as const);
  return { ...rest, image: { ...image, marks: new Map(marks) } };
}

class Sequence {
  private readonly draw: Draws;
  private readonly model: MemberStore;
  private readonly now = Date.now();
  private numbers = 0;

  constructor(seed: number) {
    this.draw = new Draws(seed);
    this.model = new MemberStore(
      () => this.now,
      LIMITS,
      () => undefined,
    );
  }

  async go(): Promise<void> {
    await stack.sql('delete from longwatch.tracker');
    await stack.sql('truncate longwatch.mail');
    await stack.sql('update longwatch.mail_turn set current = 0, clean = default');
    await stack.sql('alter sequence longwatch.stamp restart');
    await stack.sql(`insert into longwatch.tracker (name, options, pools) values ('t', '{}', 1)`);
    for (let pools = this.draw.whole(1, 3); pools > 1; pools--) this.model.split();
    for (const pool of this.model.pools.keys()) await this.writePool(pool);
    for (let step = 0; step < 25; step++) {
      await this.step();
      await this.sameRows();
    }
  }

  private async step(): Promise<void> {
    const what = this.draw.whole(0, 11);
    if (what <= 3) await this.insert();
    else if (what <= 7) await this.commit();
    else if (what === 8) await this.read();
    else if (what === 9) await this.remove();
    else if (what === 10) await this.turn();
    else {
      const pool = this.draw.whole(0, this.model.pools.length - 1);
      this.model.pools[pool]![this.draw.one(['token', 'rosterVersion'] as const)]++;
      await this.writePool(pool);
    }
  }

  private async writePool(pool: number): Promise<void> {
    const { token, rosterVersion } = this.model.pools[pool]!;
    await stack.sql(
      `insert into longwatch.pool (tracker, pool, token, run_id, shift, attempt, roster_version) values ('t', $1, $2, 'run', 1, 1, $3)
       on conflict (tracker, pool) do update set token = excluded.token, roster_version = excluded.roster_version`,
      [pool, token, rosterVersion],
    );
  }

  private async insert(): Promise<void> {
    const { draw } = this;
    const batch = Array.from({ length: draw.whole(1, 6) }, (): NewMail => {
      const json = JSON.stringify(draw.one(['x', 'ж\0\ud800', 'y'.repeat(draw.one([40, 200]))]));
      const number = ++this.numbers;
      return {
        member: draw.one(IDS),
        json,
        bytes: Buffer.byteLength(json),
        from: draw.one(['s', 'r']),
        toldAt: this.now - draw.one([0, 0, 0, 300_000, 900_000, 2 * 86_400_000]),
        ...(draw.chance(0.7) && { number, ...(draw.chance(0.5) && { previous: number - 1 }) }),
        ...(draw.chance(0.4) && { request: { id: draw.one(['q1', 'q2']), client: 'c', deadline: this.now + 1_000 } }),
        ...(draw.chance(0.2) && { replyTo: { tracker: 't', id: 'b' } }),
        ...(draw.chance(0.2) && { trace: { requestId: 'id' } }),
      };
    });
    const real = await database.transaction((db) => insertMail(db, 't', batch, LIMITS));
    expect(real.admissions).toEqual(this.model.insert(batch));
  }

  private async read(): Promise<void> {
    const { draw, model } = this;
    const asked = model.pools.map((_, pool) => ({
      pool,
      tracker: 't',
      slots: slotsOf(pool, model.pools.length),
      slotOf: (id: string) => slotOf(hashId(id)),
      reading: {
        number: 1,
        known: model.all().flatMap(({ id, member }) => (model.isIn(pool, member) && draw.chance(0.3) ? id : [])),
        full: IDS.filter((id) => model.isIn(pool, id) && draw.chance(0.2)),
        blocked: IDS.filter((id) => model.isIn(pool, id) && draw.chance(0.2)).map((member) => {
          return { member, from: draw.one(['s', 'r']) };
        }),
        rows: draw.one([2, 100]),
        bytes: draw.one([1, 3, 100_000]),
      },
    }));
    const withoutTimes = (rows: object[]) => rows.map((row) => ({ ...row, storedAt: 0, toldAt: 0 }));
    const real = await database.transaction((db) => readMail(db, asked));
    for (const { pool, reading } of asked) {
      const isIn = (id: string) => model.isIn(pool, id);
      let before = 0;
      const modelled = model
        .read(isIn, reading, ALL)
        .slice(0, reading.rows)
        .filter(({ bytes }) => (before += bytes) - bytes < reading.bytes);
      expect(withoutTimes(real[pool]!.mail)).toEqual(withoutTimes(modelled));
    }
    const { pool, slots } = draw.one(asked);
    const isIn = (id: string) => model.isIn(pool, id);
    const due = await database.transaction((db) => timersDue(db, 't', slots, 100));
    const names = (rows: { member: string; timer: { name: string; set: number } }[]) =>
      rows.map(({ member, timer: { name, set } }) => `${member}/${name}/${set}`).sort();
    expect(names(due)).toEqual(names(model.timersDue(isIn)));
  }

  private async remove(): Promise<void> {
    const { draw, model } = this;
    const id = draw.one(IDS);
    const pool = model.poolOf(id);
    model.remove(id);
    await database.transaction(async (db) => {
      const { rows } = await db.query<{ stamp: number }>({
        text: `select nextval('longwatch.stamp')::float8 as stamp`,
        values: [],
      });
      const { stamp } = rows[0]!;
      await db.query({
        text: `insert into longwatch.member (tracker, id, hash, stamp, roster_version, removed_at) values ('t', $1, $2, $3, 1, now())
               on conflict (tracker, id) do update set stamp = excluded.stamp, removed_at = now()`,
        values: [id, hashId(id), stamp],
      });
      await endLives(db, 't', [{ id, stamp, hash: hashId(id) }]);
    });
    await this.writePool(pool);
  }

  private async turn(): Promise<void> {
    const tables = await database.transaction((db) => mailTables(db, LIMITS));
    const step = tableStep(tables, tables.now, LIMITS);
    expect(step).toEqual(this.model.turnTables(new Set()));
    if (step) await database.transaction((db) => stepTables(db, step), { lockTimeoutMs: 100 });
  }

  // ── Commits ──

  private async commit(): Promise<void> {
    const { draw, model } = this;
    const commit: Commit = {
      pools: [...model.pools.keys()].filter(() => draw.chance(0.8)).map((pool) => this.poolPart(pool)),
    };
    const owners = commit.pools.map(({ pool, token }): PoolOwner => ({
      claim: { tracker: 't', pool, runId: 'run', shift: 1, attempt: 1, node: 'n' },
      token,
    }));
    const locked = draw.chance(0.2) ? draw.whole(0, model.pools.length - 1) : undefined;
    await database
      .transaction(async (other) => {
        if (locked !== undefined) {
          await other.query({ text: `select 1 from longwatch.pool where pool = $1 for update`, values: [locked] });
          model.pools[locked]!.lockedUntil = Infinity;
        }
        const real = await database.transaction((db) =>
          commitTurns(db, commit, { owners, push: async () => undefined, limits: LIMITS, placingOf: () => byId }),
        );
        const modelled = model.commit(commit);
        const sorted = (verdicts: typeof real) =>
          verdicts.map(({ verdict, refused }) => ({
            verdict,
            refused: refused.map(({ id, why }) => `${id} ${why}`).sort(),
          }));
        expect(sorted(real)).toEqual(sorted(modelled));
        if (locked !== undefined) model.pools[locked]!.lockedUntil = 0;
        throw away;
      })
      .catch((thrown: unknown) => {
        if (thrown !== away) throw thrown;
      });
  }

  private poolPart(pool: number): PoolPart {
    const { draw, model } = this;
    const { token, rosterVersion } = model.pools[pool]!;
    const members = IDS.filter((id) => model.isIn(pool, id) && draw.chance(0.7)).map((id) => this.memberPart(id));
    const off = () => (draw.chance(0.1) ? 1 : 0);
    return { tracker: 't', pool, token: token + off(), rosterVersion: rosterVersion + off(), members };
  }

  private memberPart(id: string): MemberPart {
    const { draw, model } = this;
    const { version, image } = model.load(id);
    const mail = model.mailOf(id).map((one) => one.id);
    const mailGone = mail.filter(() => draw.chance(0.5));
    if (draw.chance(0.1)) mailGone.push(9_999_999);
    const left = mail.filter((one) => !mailGone.includes(one) && draw.chance(0.5));
    const answer = draw.one<Answer['answer']>([{ json: '"ж"' }, { error: { type: 'HandlerFailed', message: 'no' } }]);
    const spawn = draw.one([undefined, undefined, model.stamped - draw.whole(0, 5)]);
    const names = ['one', 'two'].filter(() => draw.chance(0.4));
    const timer = (name: string): Timer => ({
      name,
      set: draw.whole(1, 9),
      at: this.now + draw.one([-1_000, 100_000]),
      json: '1',
      attempts: draw.whole(0, 2),
    });
    const sent = Array.from({ length: draw.whole(0, 2) }, (): Sent => ({
      to: { tracker: 't', id: draw.one(IDS) },
      json: draw.one(['"hi"', '"жжжжжжжжжж"', `"${'x'.repeat(40)}"`]),
      ...(draw.chance(0.3) && { replyTo: { tracker: 't', id } }),
    }));
    return {
      id,
      expected: version + (draw.chance(0.1) ? 1 : 0),
      // A change of timers is one of the row.
      ...((names.length > 0 || draw.chance(0.7)) && { row: this.row(image) }),
      ...(spawn !== undefined && { spawn }),
      timersSet: names.map(timer),
      timersGone: ['one', 'two'].filter((name) => !names.includes(name) && draw.chance(0.5)),
      mailGone,
      again: left.map((one) => ({ mail: one, attempts: draw.whole(1, 3), notBefore: this.now + 500, error: 'no' })),
      dead: draw.chance(0.2)
        ? [{ json: '1', from: 's', attempts: 3, error: 'no', replyTo: { tracker: 't', id: 'ж' } }]
        : [],
      answers: draw.chance(0.3) ? [{ request: draw.one(['q1', 'q2']), client: 'c', answer }] : [],
      tellAgain: [],
      sent,
      pushes: [],
      writes: [],
    };
  }

  private row({ marks, sets }: Image): MemberPart['row'] {
    const { draw } = this;
    const after = new Map(marks).set(draw.one(['s', 'r', '__proto__']), {
      last: draw.whole(1, 9),
      missing: [[1, 2]],
      at: this.now,
    });
    const state = draw.one([null, '"a\\u0000\\ud800"', '{"ж":1}']);
    return {
      state,
      stateVersion: draw.whole(1, 3),
      marks: after,
      applied: new Map([['look', draw.whole(1, 9)]]),
      sets: sets + 1,
    };
  }

  // ── Rows ──

  private async sameRows(): Promise<void> {
    const { model } = this;
    const stored = await database.transaction((db) =>
      loadLives(
        db,
        IDS.map((id) => ({ tracker: 't', id })),
      ),
    );
    for (const [at, id] of IDS.entries()) {
      expect({ id, ...timeless(stored[at]!) }).toEqual({ id, ...timeless(model.load(id)) });
    }
    const mail = await stack.sql<{ place: number; id: string }>(
      `select place, id, member, sender, attempts, extract(epoch from not_before)::float8 as not_before from longwatch.mail order by id`,
    );
    const modelled = model.tables.flatMap((table, place) =>
      [...table.values()].map(({ id, member, from, attempts, notBefore }) => ({
        place,
        id: String(id),
        member,
        sender: from,
        attempts,
        not_before: notBefore === undefined ? null : notBefore / 1_000,
      })),
    );
    expect(mail).toEqual(modelled.sort((a, b) => Number(a.id) - Number(b.id)));
    const [turn] = await stack.sql<object>('select current, clean from longwatch.mail_turn');
    expect(turn).toEqual({ current: model.current, clean: model.clean });
    const replies = await stack.sql<Record<string, string | null>>(
      'select member, request, json, error from longwatch.reply',
    );
    const texts = replies.map(({ member, request, json, error }) => `${member}/${request} ${json ?? error}`);
    const answers = [...model.answers].map(
      ([key, { answer }]) => `${key} ${'json' in answer ? answer.json : answer.error.type}`,
    );
    expect(texts.sort()).toEqual(answers.sort());
    const [dead] = await stack.sql<{ count: number }>('select count(*)::int as count from longwatch.member_dead');
    expect(dead!.count).toBe(model.dead.length);
    const members = await stack.sql<{ id: string; stamp: number; removed: boolean }>(
      'select id, stamp::float8 as stamp, removed_at is not null as removed from longwatch.member',
    );
    expect(new Map(members.map(({ id, ...row }) => [id, row]))).toEqual(model.roster);
  }
}

simulate(
  'the model of the store of members answers as PostgreSQL does, and leaves the same rows',
  (seed) => new Sequence(seed).go(),
  { histories: 25 },
);
