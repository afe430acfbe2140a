/** Part of `flush.test.ts`: random histories of runs, flushes and failures. */
import fc from 'fast-check';
import { failure } from '../../../activities/lib/failures';
import { Database, VALUES_LIMITS, type Queryable, type TransactionOptions } from '../../../activities/lib/database';
import { ErrorType } from '../../../workflows/lib/errors';
import { histories } from '../../support/simulate';
import { TestClock } from '../shift-kit';
import { log, stack, closing, trackerOf, writerOf, poolOf, valueOf, feedOf, entriesFed } from './pools';

/** A connection that does as it is told: refuses before anything was done, or loses the answer to COMMIT. */
class Unreliable extends Database {
  next: 'works' | 'refuses' | 'loses' = 'works';

  override async transaction<T>(work: (db: Queryable) => Promise<T>, options?: TransactionOptions): Promise<T> {
    const how = this.next;
    const away = () => failure(ErrorType.StoreUnavailable, 'the answer was lost');
    if (how === 'refuses') throw away();
    const result = await super.transaction(work, options);
    if (how === 'loses') throw away();
    return result;
  }
}

type Step = { kind: 'pass'; ms: number } | { kind: 'change'; id: string } | { kind: 'fail'; id: string } | Flushing;
interface Flushing {
  kind: 'flush';
  how: 'works' | 'refuses' | 'loses';
}

test('TR-C1, TR-M18: what is stored is the last value returned, and a buffer gets each change once, whatever the connection loses', async () => {
  const unreliable = new Unreliable({ url: stack.servers.databaseUrl, log, ...VALUES_LIMITS });
  closing.push(() => unreliable.close());
  const ids = ['a', 'b'];
  const id = fc.constantFrom(...ids);
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 10, max: 150 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('change' as const), id }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), id }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('flush' as const),
        how: fc.constantFrom('works' as const, 'refuses' as const, 'loses' as const),
      }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 20 }), async (steps) => {
      await stack.sql(`delete from longwatch.pool`);
      await stack.sql(`delete from longwatch.member`);
      await stack.sql(`delete from longwatch.buffer_outbox`);
      await stack.sql(`delete from longwatch.buffer_chunk`);
      // An upstream with a version a member, which says 304 to who has it.
      const versions = new Map(ids.map((one) => [one, 1]));
      const failing = new Set<string>();
      const returned = new Map<string, number>();
      const inARow = new Map<string, number>();
      const look = trackerOf(({ id: of, etag }) => {
        if (failing.delete(of)) {
          inARow.set(of, (inARow.get(of) ?? 0) + 1);
          throw new Error('down');
        }
        inARow.set(of, 0);
        const version = versions.get(of)!;
        if (etag === `v${version}`) return { unchanged: true };
        returned.set(of, version);
        return { value: version, etag: `v${version}` };
      });
      const kit = await poolOf(0, ids, look, new TestClock());
      const { writer } = writerOf([kit], unreliable, { feed: feedOf(look, kit.host.clock) });
      for (const one of steps) {
        if (one.kind === 'pass') await kit.pass(one.ms);
        else if (one.kind === 'change') versions.set(one.id, versions.get(one.id)! + 1);
        else if (one.kind === 'fail') failing.add(one.id);
        else {
          unreliable.next = one.how;
          await writer.flush();
        }
      }
      unreliable.next = 'works';
      await writer.flush();
      await writer.stop();
      const fed = await entriesFed();
      for (const [of, version] of returned) {
        expect([of, await valueOf(of)]).toMatchObject([
          of,
          { value: version, etag: `v${version}`, failures: inARow.get(of) },
        ]);
        const seen = fed.filter((entry) => entry.id === of).map(({ value }) => value as number);
        expect(seen.at(-1)).toBe(version);
        expect(seen).toEqual([...new Set(seen)].sort((x, y) => x - y));
      }
    }),
    histories(60),
  );
});
