/**
 * A stored value as it was returned: by the codec of its operation, where this process knows it. Called by
 * `members.ts`. Whatever the codec does, the member is shown.
 */
import type { TrackerDefinition } from '../../config/define/tracker';
import { errorText } from '../../workflows/lib/text';
import type { Json } from '../../workflows/lib/json';

/** The code of a tracker that a client can have use for: its route, and the codecs of its operations. */
export type KnownDefinition = Pick<TrackerDefinition, 'route'> & Partial<Pick<TrackerDefinition, 'operations'>>;

export interface Decoded {
  value: Json;
  /** The codec that the value is still in: this process does not know it, or it failed. Null: it is in clear. */
  encodedBy: string | null;
  /** Why its codec could not read it. */
  decodeError: string | null;
}

export interface EncodedValue {
  tracker: string;
  id: string;
  operation: string;
  value: Json;
  codec: string | null;
}

/** @param definition as this process knows it */
export function decoded(stored: EncodedValue, definition: KnownDefinition | undefined): Decoded {
  const { tracker, id, operation, value, codec: encodedBy } = stored;
  if (encodedBy === null) return { value, encodedBy, decodeError: null };
  const codec = definition?.operations?.[operation]?.codec;
  if (codec?.name !== encodedBy) return { value, encodedBy, decodeError: null };
  try {
    const clear = codec.decode(value) as unknown;
    if (clear instanceof Promise) clear.catch(() => undefined);
    if (clear instanceof Promise) throw new TypeError('it returned a promise, and must decode at once');
    // The API and the command line write it down.
    if (JSON.stringify(clear) === undefined) throw new TypeError('it returned nothing that is JSON');
    return { value: clear as Json, encodedBy: null, decodeError: null };
  } catch (thrown) {
    const what = `codec '${encodedBy}' could not decode ${operation} of ${id} in ${tracker}`;
    return { value, encodedBy, decodeError: `${what}: ${errorText(thrown)}` };
  }
}
