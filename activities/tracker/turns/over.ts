/**
 * Says that code of a turn is ended before its time, since its member goes to another node, or into another pool. Its
 * message has not failed, and is handled there. Thrown by `run.ts` to `turner.ts` and `alone.ts`.
 */
export class ShiftOver extends Error {
  constructor() {
    super('the shift is over');
  }
}
