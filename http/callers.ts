/**
 * The library as each caller has it: the same connections, and the caller's name in the audit. Used by `app.ts`.
 */
import type { Longwatch } from '../client/longwatch';
import { Recent } from '../client/recent';
import type { Caller } from './who';

/** Callers that are remembered. */
const MOST = 200;

export class Callers {
  private readonly known = new Recent<Longwatch>(MOST);

  constructor(private readonly longwatch: Longwatch) {}

  /** The same one for the same name, so that a program's pushes share their messages. */
  of({ name }: Caller): Longwatch {
    return this.known.get(name, () => this.longwatch.as({ actor: name, via: 'http' }));
  }
}
