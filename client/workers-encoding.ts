/**
 * Whether the workers encode what Temporal keeps, as the database has noted it, and whether this client writes in the
 * same way. Made and asked by `connections.ts` before it writes to Temporal; all of `Connections.as` share one.
 */
import type { DataConverter } from '@temporalio/common';
import type { Database } from '../activities/lib/database';
import { clientProblem, encodes, notedEncoding, type Encoded } from '../activities/lib/encoding';
import { DatabaseUnavailableError, EncodingMismatchError } from './errors';

/** So long an answer counts. Milliseconds. */
const KNOWN_MS = 5_000;

export class WorkersEncoding {
  /** The last answer, and when it was given. */
  private noted: Encoded | undefined;
  private at = -Infinity;
  /** The look that is under way. */
  private look: Promise<void> | undefined;

  /** @param translate from what a statement fails with to what the caller gets */
  constructor(
    private readonly converter: DataConverter | undefined,
    private readonly database: () => Database,
    private readonly translate: (error: unknown) => unknown,
  ) {}

  /** @throws EncodingMismatchError where this client writes in another way, or what the database fails with. */
  async check(): Promise<void> {
    if (performance.now() - this.at > KNOWN_MS) {
      this.look ??= this.ask().finally(() => (this.look = undefined));
      await this.look;
    }
    const problem = clientProblem(encodes(this.converter), this.noted ?? null);
    if (problem !== undefined) throw new EncodingMismatchError(problem);
  }

  private async ask(): Promise<void> {
    try {
      this.noted = await notedEncoding(this.database());
    } catch (error) {
      const { code } = error as { code?: unknown };
      const failed = this.translate(error);
      // A role that may not look is still one of this database. While the database is away, the last answer counts; a
      // client that has never had one writes nothing on a guess.
      if (code !== '42501' && (this.noted === undefined || !(failed instanceof DatabaseUnavailableError))) throw failed;
    }
    this.at = performance.now();
  }
}
