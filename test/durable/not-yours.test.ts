/**
 * The statements that a handler may not send through its transaction, and those that it may; each as PostgreSQL reads
 * it.
 */
import { refuseEnded, refuseNotYours } from '../../activities/durable/not-yours';

const REFUSED = /through tx: the transaction is begun and ended by Longwatch/;

test.each([
  'commit',
  ' -- done\n COMMIT;',
  '/* a /* b */ c */ end',
  'update t set a = 1; commit; begin',
  'begin',
  'start transaction isolation level serializable',
  'rollback',
  'rollback work',
  'rollback and chain',
  'abort',
  `prepare transaction 'x'`,
  `commit prepared 'x'`,
  `set session statement_timeout = 0`,
  `set search_path = other`,
  `SET SESSION AUTHORIZATION somebody`,
  'set role somebody',
  'discard all',
  `select ';'; select 'x'';' ; commit`,
])('%s is refused', (text) => {
  expect(() => refuseNotYours(text)).toThrow(REFUSED);
});

test.each([
  `select 'commit'`,
  '-- commit;\nselect 1',
  '/* ; commit */ select 1',
  'select $$; commit; $$',
  'select case when a then 1 end from t; select 2;',
  'savepoint a; rollback to a; release a',
  'rollback to savepoint a',
  'rollback transaction to savepoint a',
  `set local statement_timeout = '1s'`,
  'set transaction read only',
  'set constraints all deferred',
  'prepare p as select 1',
  'update t set "commit" = 1',
  'create function f() returns int language sql begin atomic select 1; end',
  '',
  ';;',
])('%s is not', (text) => {
  expect(() => refuseNotYours(text)).not.toThrow();
});

test('what the server says it has done is looked at as well', () => {
  const did = (...commands: string[]) => commands.map((command) => ({ command }));
  expect(() => refuseEnded('select f()', did('COMMIT')[0])).toThrow(REFUSED);
  expect(() => refuseEnded('odd', did('SELECT', 'ROLLBACK', 'SELECT'))).toThrow(REFUSED);
  expect(() => refuseEnded('rollback to a; odd', did('ROLLBACK', 'BEGIN'))).toThrow(REFUSED);
  expect(() => refuseEnded('rollback to a; rollback to a', did('ROLLBACK', 'ROLLBACK'))).not.toThrow();
  expect(() => refuseEnded('select 1', did('SELECT')[0])).not.toThrow();
});
