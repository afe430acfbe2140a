/**
 * Failures whose messages and stacks go through the payload codec too: without it, what an error says stands in clear
 * in every history. The parts of a failure are marked until they are encoded: `config/guarded-codec.ts` knows by it
 * what may be left out where the codec fails. Taken by client, worker and workflow bundle where the config has codecs
 * and names no converter of its own.
 */
import { DefaultFailureConverter } from '@temporalio/common';

/** In the metadata of a payload; it never leaves the process. */
export const FAILURE_MARK = 'longwatch-failure';

type Parameter = Parameters<DefaultFailureConverter['errorToFailure']>;
type ProtoFailure = ReturnType<DefaultFailureConverter['errorToFailure']>;
type Payload = NonNullable<ProtoFailure['encodedAttributes']>;

class EncodedFailureConverter extends DefaultFailureConverter {
  /** Also of each cause, which comes through here by itself. */
  override errorToFailure(...args: Parameter): ProtoFailure {
    const failure = super.errorToFailure(...args);
    if (failure.encodedAttributes) failure.encodedAttributes = marked(failure.encodedAttributes);
    for (const info of [failure.applicationFailureInfo, failure.canceledFailureInfo]) {
      if (info?.details?.payloads) info.details.payloads = info.details.payloads.map(marked);
    }
    return failure;
  }
}

const marked = (payload: Payload): Payload => ({
  ...payload,
  metadata: { ...payload.metadata, [FAILURE_MARK]: new Uint8Array([1]) },
});

export const failureConverter = new EncodedFailureConverter({ encodeCommonAttributes: true });
