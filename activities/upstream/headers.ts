/**
 * Reads the few response headers that matter, straight from the bytes that undici hands over: most headers of
 * an answer are never looked at, so none is turned into a string before somebody asks. Called by `call.ts`.
 */
import type { FreshnessHeaders } from './freshness';

/** The value of a header in undici's raw list (name, value, name, value …), or undefined. `name` is in lower case. */
export function headerOf(raw: readonly Buffer[], name: string): string | undefined {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (matches(raw[i]!, name)) return raw[i + 1]!.toString('latin1');
  }
  return undefined;
}

/** All of them; of one that came twice the first. */
export function allHeaders(raw: readonly Buffer[]): Iterable<readonly [name: string, value: string]> {
  const all = new Map<string, string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toString('latin1').toLowerCase();
    if (!all.has(name)) all.set(name, raw[i + 1]!.toString('latin1'));
  }
  return all;
}

function matches(bytes: Buffer, name: string): boolean {
  if (bytes.length !== name.length) return false;
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[i]!;
    const lower = byte >= 65 && byte <= 90 ? byte | 32 : byte;
    if (lower !== name.charCodeAt(i)) return false;
  }
  return true;
}

/** The header fields that are looked at in each answer. */
export class SeenHeaders implements FreshnessHeaders {
  etag: string | undefined = undefined;
  cacheControl: string | undefined = undefined;
  expires: string | undefined = undefined;
  date: string | undefined = undefined;
  age: string | undefined = undefined;
  vary: string | undefined = undefined;
  contentType: string | undefined = undefined;
  contentEncoding: string | undefined = undefined;

  /** One walk over the list. The first counts of a field that came twice; the lines of a list are joined. */
  constructor(raw: readonly Buffer[]) {
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = raw[i]!;
      const initial = name[0]! | 32;
      switch (name.length) {
        case 3:
          if (initial === A && matches(name, 'age')) this.age ??= text(raw[i + 1]!);
          break;
        case 4:
          if (initial === E && matches(name, 'etag')) this.etag ??= text(raw[i + 1]!);
          else if (initial === D && matches(name, 'date')) this.date ??= text(raw[i + 1]!);
          else if (initial === V && matches(name, 'vary')) this.vary = joined(this.vary, raw[i + 1]!);
          break;
        case 7:
          if (initial === E && matches(name, 'expires')) this.expires ??= text(raw[i + 1]!);
          break;
        case 12:
          if (initial === C && matches(name, 'content-type')) this.contentType ??= text(raw[i + 1]!);
          break;
        case 13:
          if (initial === C && matches(name, 'cache-control'))
            this.cacheControl = joined(this.cacheControl, raw[i + 1]!);
          break;
        case 16:
          if (initial === C && matches(name, 'content-encoding'))
            this.contentEncoding = joined(this.contentEncoding, raw[i + 1]!);
          break;
      }
    }
  }
}

const [A, C, D, E, V] = [0x61, 0x63, 0x64, 0x65, 0x76];

function text(bytes: Buffer): string {
  return bytes.toString('latin1');
}

function joined(before: string | undefined, bytes: Buffer): string {
  return before === undefined ? text(bytes) : `${before}, ${text(bytes)}`;
}
