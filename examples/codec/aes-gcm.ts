/**
 * A payload codec: everything that Temporal keeps is encrypted with AES-256-GCM before it leaves the process, by the
 * platform's WebCrypto. Keys have ids, the payload says which one it was encrypted with, and new payloads take the
 * first: so keys are rotated by putting a new one in front, and an old one goes when the last history with it has ended
 * (retention, and workflows that live long, included).
 *
 * `dataConverter` is what a config, `connect` and LONGWATCH_DATA_CONVERTER take. Its keys come from CODEC_KEYS, the
 * newest first: `CODEC_KEYS=2026-11:BASE64,2026-05:BASE64`, each made by `openssl rand -base64 32`.
 */
import { webcrypto } from 'node:crypto';
import { METADATA_ENCODING_KEY, type DataConverter, type Payload, type PayloadCodec } from '@temporalio/common';
import { temporal } from '@temporalio/proto';

const { Payload: Wire } = temporal.api.common.v1;
const ENCODING = 'binary/encrypted';
const KEY_ID = 'encryption-key-id';
/** As NIST SP 800-38D has it for random ones; at some 2^32 payloads a key should be followed by another. Bytes. */
const IV = 12;
const KEY_BYTES = 32;
const text = {
  to: (value: string) => new TextEncoder().encode(value),
  from: (value: Uint8Array) => new TextDecoder().decode(value),
};

export class AesGcmCodec implements PayloadCodec {
  private readonly imported = new Map<string, Promise<webcrypto.CryptoKey>>();
  private readonly newest: string;

  /** @param keys 32 bytes each, by id; the first one encrypts. */
  constructor(private readonly keys: ReadonlyMap<string, Uint8Array>) {
    const [first] = keys.keys();
    if (first === undefined) throw new TypeError('the codec needs at least one key');
    for (const [id, key] of keys) {
      if (key.length !== KEY_BYTES)
        throw new TypeError(`the key ${id} has ${key.length} bytes; it must have ${KEY_BYTES}`);
    }
    this.newest = first;
  }

  encode(payloads: Payload[]): Promise<Payload[]> {
    return Promise.all(payloads.map((payload) => this.encrypt(payload)));
  }

  decode(payloads: Payload[]): Promise<Payload[]> {
    return Promise.all(payloads.map((payload) => this.decrypt(payload)));
  }

  private async encrypt(payload: Payload): Promise<Payload> {
    const iv = webcrypto.getRandomValues(new Uint8Array(IV));
    const id = text.to(this.newest);
    // The id is not secret, and may not be changed either.
    const algorithm = { name: 'AES-GCM', iv, additionalData: id };
    const sealed = await webcrypto.subtle.encrypt(
      algorithm,
      await this.key(this.newest),
      Wire.encode(payload).finish(),
    );
    return {
      metadata: { [METADATA_ENCODING_KEY]: text.to(ENCODING), [KEY_ID]: id },
      data: Buffer.concat([iv, new Uint8Array(sealed)]),
    };
  }

  /** A payload that was written before there was a codec comes through as it is. */
  private async decrypt(payload: Payload): Promise<Payload> {
    const encoding = payload.metadata?.[METADATA_ENCODING_KEY];
    if (!encoding || text.from(encoding) !== ENCODING) return payload;
    const id = payload.metadata?.[KEY_ID];
    const { data } = payload;
    if (!id || !data || data.length <= IV) throw new TypeError('an encrypted payload without its key id or data');
    const algorithm = { name: 'AES-GCM', iv: data.subarray(0, IV), additionalData: id };
    const opened = await webcrypto.subtle.decrypt(algorithm, await this.key(text.from(id)), data.subarray(IV));
    return Wire.decode(new Uint8Array(opened));
  }

  private key(id: string): Promise<webcrypto.CryptoKey> {
    const bytes = this.keys.get(id);
    if (!bytes) throw new TypeError(`there is no key ${id}: it was taken away before the last payload with it`);
    const known =
      this.imported.get(id) ?? webcrypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt']);
    this.imported.set(id, known);
    return known;
  }
}

/** @param given `id:base64,id:base64` */
export function keysFrom(given: string | undefined): Map<string, Uint8Array> {
  if (!given) throw new TypeError('CODEC_KEYS is not set: ID:BASE64, the newest first');
  return new Map(
    given.split(',').map((one): [string, Uint8Array] => {
      const [id, key] = one.split(':');
      if (!id || !key) throw new TypeError('CODEC_KEYS must look like ID:BASE64,ID:BASE64');
      return [id, Buffer.from(key, 'base64')];
    }),
  );
}

/** Made when first asked, so that a test may import this file without keys. */
export const dataConverter: DataConverter = {
  get payloadCodecs() {
    return [(fromEnvironment ??= new AesGcmCodec(keysFrom(process.env.CODEC_KEYS)))];
  },
};
let fromEnvironment: AesGcmCodec | undefined;
