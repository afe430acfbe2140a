/**
 * Failures whose messages and stacks go through the payload codec too: without it, what an error says stands in clear in every history.
 * Taken by client, worker and workflow bundle where the config has codecs and names no converter of its own.
 */
import { DefaultFailureConverter } from '@temporalio/common';

export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
