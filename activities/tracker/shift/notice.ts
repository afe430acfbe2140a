/** The announcements of changes, as a node hears them (`node.ts`), and what one of them asks for. */
import type { ChangeNotice } from '../../../workflows/tracker/contract';

/** The error by which `longwatch crash` ends a shift. */
export class ForcedCrash extends Error {
  override readonly name = 'ForcedCrash';
  constructor(pool: number) {
    super(`pool ${pool} was made to crash`);
  }
}

/** Undefined where it cannot be read: then every shift looks. */
export function noticeOf(payload: string | undefined): ChangeNotice | undefined {
  try {
    return JSON.parse(payload ?? '') as ChangeNotice;
  } catch {
    return undefined;
  }
}
