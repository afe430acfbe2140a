/** A batch in parts, one request of the node and one transaction each. Used by `blocks.ts` and `receipts.ts`. */

/** As many calls as a request has before anything is learned (`rpc/client.ts`). */
const PART = 250;
/** While the node answers one, another is decoded and written. */
const AT_ONCE = 2;

/**
 * Does the parts in their order, two at a time, so that what was read can go before more is.
 * @throws what the first one threw, when none runs any more; no other is begun then.
 */
export async function inParts<T>(all: readonly T[], work: (part: T[]) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < all.length && !failed) {
      const part = all.slice(next, (next += PART));
      try {
        await work(part);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
}
