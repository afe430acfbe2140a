/**
 * A run's value as it is stored: its JSON, or what the operation's codec makes of it. Made where the run has ended: by
 * `results.ts`, or in the thread of an isolated run (`workers/isolate-thread.ts`), so that heavy code does not hold up
 * the node. Throws what is then a failure of that run.
 */
import type { OperationDefinition } from '../../../config/define/tracker';
import { storableJson } from '../../../workflows/lib/text';
import { errorOf } from '../../lib/failures';

/** Larger values are refused: they would crowd out everything else in a flush. Characters of JSON. */
export const MAX_VALUE_LENGTH = 4 * 1024 * 1024;

export interface StoredForm {
  json: string;
  /** The name of the codec that has encoded it. */
  codec?: string;
  /** The value in clear as JSON, for the buffer that it feeds. Absent where it is `json`. */
  fed?: string;
}

/** A result of which the value has been encoded already. */
export class EncodedResult {
  constructor(
    /** All of it but the value. */
    readonly result: object,
    readonly stored: StoredForm,
  ) {}
}

type Coding = Pick<OperationDefinition, 'codec' | 'buffer'>;

export function storedForm(value: unknown, { codec, buffer }: Coding, where: string): StoredForm {
  if (value === undefined) throw new TypeError(nothing(where));
  if (codec === undefined) return { json: storableJson(textOf(value, where)) };
  let encoded: unknown;
  try {
    encoded = codec.encode(value as never);
  } catch (thrown) {
    const error = errorOf(thrown);
    throw new Error(`codec '${codec.name}' could not encode the value of ${where}: ${error.message}`, { cause: error });
  }
  if (encoded instanceof Promise) {
    encoded.catch(() => undefined);
    throw new TypeError(`codec '${codec.name}' of ${where} must encode at once; it returned a promise`);
  }
  const json = storableJson(textOf(encoded, `codec '${codec.name}' of ${where}`));
  return { json, codec: codec.name, ...(buffer !== undefined && { fed: storableJson(textOf(value, where)) }) };
}

const nothing = (where: string): string => `${where} returned no value; return { value } or { unchanged: true }`;

function textOf(value: unknown, where: string): string {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new TypeError(nothing(where));
  if (json.length > MAX_VALUE_LENGTH) {
    throw new TypeError(
      `${where} returned a value of ${json.length} characters; at most ${MAX_VALUE_LENGTH} are stored`,
    );
  }
  return json;
}

/** An isolated run's result, encoded in its thread; as it is where there is nothing to encode. */
export function encodedInThread(
  result: unknown,
  coding: Coding,
  where: string,
): { result: unknown; stored?: StoredForm } {
  if (coding.codec === undefined || result === null || typeof result !== 'object') return { result };
  const { value, ...rest } = result as { value?: unknown; unchanged?: unknown };
  if (rest.unchanged === true || !('value' in result)) return { result };
  return { result: rest, stored: storedForm(value, coding, where) };
}
