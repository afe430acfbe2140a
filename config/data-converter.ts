/**
 * How payloads are written to Temporal: the SDK's `DataConverter`, of the config, of `connect` or of `createWorker`,
 * checked and made whole. With a codec, everything that Temporal keeps of Longwatch is encoded: entries, ids, options,
 * results, errors, summaries.
 */
import path from 'node:path';
import type { DataConverter } from '@temporalio/common';
import { EnvironmentError } from './errors';
import type * as guarded from './guarded-codec';

const KEYS = ['payloadCodecs', 'payloadConverterPath', 'failureConverterPath'];

/** @returns what is wrong with it, each with its path. */
export function converterProblems(given: unknown): string[] {
  if (given === undefined) return [];
  if (typeof given !== 'object' || given === null) return ['dataConverter must be an object: { payloadCodecs: [ … ] }'];
  const { payloadCodecs } = given as DataConverter;
  const problems = Object.keys(given)
    .filter((key) => !KEYS.includes(key))
    .map((key) => `dataConverter.${key} is not an option; there are ${KEYS.join(', ')}`);
  for (const key of ['payloadConverterPath', 'failureConverterPath'] as const) {
    const file: unknown = (given as DataConverter)[key];
    if (file !== undefined && (typeof file !== 'string' || !path.isAbsolute(file))) {
      problems.push(`dataConverter.${key} must be an absolute path, such as require.resolve('./converter')`);
    }
  }
  if (payloadCodecs === undefined) return problems;
  if (!Array.isArray(payloadCodecs)) return [...problems, 'dataConverter.payloadCodecs must be a list'];
  payloadCodecs.forEach((codec: unknown, index) => {
    const { encode, decode } = (codec ?? {}) as { encode?: unknown; decode?: unknown };
    if (typeof encode === 'function' && typeof decode === 'function') return;
    problems.push(`dataConverter.payloadCodecs.${index} must have the functions encode and decode`);
  });
  return problems;
}

/** With codecs that may fail; and without a failure converter of its own, what errors say is encoded as well. */
export function wholeConverter(given: DataConverter | undefined): DataConverter | undefined {
  if (!given?.payloadCodecs?.length) return given;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loads the SDK, which a config and what only reads it have no use for
  const { GuardedCodec } = require('./guarded-codec') as typeof guarded;
  return {
    ...given,
    payloadCodecs: [new GuardedCodec(given.payloadCodecs)],
    failureConverterPath: given.failureConverterPath ?? require.resolve('../workflows/lib/encoded-failures'),
  };
}

/**
 * A profile (or TEMPORAL_CODEC_ENDPOINT) that names a codec server means that payloads are encoded; the server is for
 * people's tools.
 */
export function refuseIgnoredCodec(target: { codecEndpoint?: string }, converter: DataConverter | undefined): void {
  if (target.codecEndpoint === undefined || converter?.payloadCodecs?.length) return;
  throw new EnvironmentError(
    "Temporal's settings name a codec server, which encodes nothing here: give the codec itself as dataConverter (docs/security.md)",
  );
}
