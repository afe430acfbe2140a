/** Announcements of the database as a node hears them (`node.ts`), and the crash that one of them orders. */
import type { ChangeNotice } from '../../../workflows/tracker/contract';

/** Undefined where it cannot be read: then every shift looks. */
export function noticeOf(payload: string | undefined): ChangeNotice | undefined {
  try {
    const notice: unknown = JSON.parse(payload ?? '');
    return typeof notice === 'object' && notice !== null ? (notice as ChangeNotice) : undefined;
  } catch {
    return undefined;
  }
}

/** It concerns the nodes, not their shifts; so may one that cannot be read. */
export function concernsNodes(notice: ChangeNotice | undefined): boolean {
  return notice === undefined || 'nodes' in notice;
}

/** The error by which `longwatch crash` ends a shift. */
export class ForcedCrash extends Error {
  override readonly name = 'ForcedCrash';
  constructor(pool: number) {
    super(`pool ${pool} was made to crash`);
  }
}

/** The part of a shift that hears. */
interface Hinted {
  readonly trackerName: string;
  readonly claim: { readonly pool: number };
  hinted: boolean;
  end(how: Error): void;
}

/** Marks the shifts that it concerns, all of them where it cannot be read. @returns whether there are any */
export function hintShifts(shifts: Iterable<Hinted>, notice: ChangeNotice | undefined): boolean {
  let hinted = false;
  for (const shift of shifts) {
    if (notice && notice.tracker !== shift.trackerName) continue;
    if (notice?.pools && !notice.pools.includes(shift.claim.pool)) continue;
    if (notice?.crash) shift.end(new ForcedCrash(shift.claim.pool));
    shift.hinted = true;
    hinted = true;
  }
  return hinted;
}
