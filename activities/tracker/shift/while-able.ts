/**
 * A pool that comes to a node which loses PostgreSQL just then goes to another one. The node has no answer to what it
 * has asked, and would hold the pool until its question times out; its heartbeats go on meanwhile, so Temporal would
 * not help either. Used by `keep.ts` while it takes a pool, and while it loads it.
 */
import { ErrorType } from '../../../workflows/lib/errors';
import { failure } from '../../lib/failures';
import type { Node } from './node';

/** How often it looks. Milliseconds. */
const LOOK_MS = 200;

type Able = Pick<Node, 'row' | 'isAble' | 'isDraining'>;

/** undefined: the node may take pools. One that ends hands them on. */
export function unable(node: Able): Error | undefined {
  if (node.isAble || node.isDraining) return undefined;
  const message = `node ${node.row.name} takes no shifts: it cannot reach PostgreSQL`;
  return failure(ErrorType.Declined, message, { nextRetryDelay: '100ms' });
}

/** @param work is told whether it was given up: nobody waits for it then, and it must change nothing of the node */
export async function whileAble<T>(node: Able, work: (isGivenUp: () => boolean) => Promise<T>): Promise<T> {
  let givenUp = false;
  let timer: NodeJS.Timeout | undefined;
  const lost = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const error = unable(node);
      if (error) reject(error);
    }, LOOK_MS);
  });
  lost.catch(() => (givenUp = true));
  return Promise.race([work(() => givenUp), lost]).finally(() => clearInterval(timer));
}
