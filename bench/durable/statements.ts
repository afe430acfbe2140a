/** The tables and statements of the `durable` scenario, the same for us, as plain activities and for the peer. */

export const SCHEMA = `
  create schema bench;
  create table bench.effect (id bigint generated always as identity primary key, step text not null, of text not null);
`;

/** An effect of 5 ms: a row, and the rest of the time. */
export const WAIT = `insert into bench.effect (step, of) select 'wait', $1 from pg_sleep(0.005)`;

export const ORDER = {
  pay: `insert into bench.effect (step, of) values ('pay', $1)`,
  reserve: `insert into bench.effect (step, of) values ('reserve', $1)`,
  ship: `insert into bench.effect (step, of) values ('ship', $1)`,
} as const;
