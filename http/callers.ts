/**
 * The library as each caller has it: the same connections, and the caller's name in the audit. Used by `app.ts`.
 */
import type { Longwatch } from '../client/longwatch';
import type { Caller } from './who';

/** Callers that are remembered: more than that, and the oldest are forgotten. */
const MOST = 200;

export class Callers {
  private readonly known = new Map<string, Longwatch>();

  constructor(private readonly longwatch: Longwatch) {}

  /** The same one for the same name, so that a program's pushes share their messages. */
  of({ name }: Caller): Longwatch {
    const known = this.known.get(name) ?? this.longwatch.as({ actor: name, via: 'http' });
    this.known.delete(name);
    this.known.set(name, known);
    if (this.known.size > MOST) this.known.delete(this.known.keys().next().value!);
    return known;
  }
}
