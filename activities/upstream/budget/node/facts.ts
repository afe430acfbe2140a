/**
 * The facts for a key function of a limit, and what it asked for. One is made for each key, which is for each fetch and
 * limit, so whatever most keys do not need is made where it is asked for. Made by `book.ts`, which knows the rest.
 */
import type { KeyFacts, RequestLine, Use } from '../spender';

/** The one who learns from requests and answers. */
export interface FactsSource {
  lastRequest(use: Use, request: RequestLine | undefined): RequestLine;
  /** Null: answers have none; undefined: no answer is known. */
  headerFor(name: string, use: Use, request: RequestLine | undefined): string | null | undefined;
}

export class Facts implements KeyFacts {
  asksHeaders = false;
  /** It asked for a header of which no answer is known; of one that answers do not have. */
  isUnknown = false;
  isAbsent = false;

  constructor(
    readonly id: string | undefined,
    readonly address: string,
    private readonly source: FactsSource,
    private readonly use: Use,
    private readonly known: RequestLine | undefined,
  ) {}

  get request(): RequestLine {
    return this.source.lastRequest(this.use, this.known);
  }

  /** Stands by itself: most take it out of the facts. */
  get header(): KeyFacts['header'] {
    return (name) => {
      this.asksHeaders = true;
      const value = this.source.headerFor(name, this.use, this.known);
      if (value === undefined) this.isUnknown = true;
      if (value === null) this.isAbsent = true;
      return value ?? undefined;
    };
  }
}
