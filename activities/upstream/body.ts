/**
 * From the bytes of a body to its text: unpacked, and read in the charset that the answer names. Nothing is guessed and
 * nothing is replaced: a body that cannot be read is an error that says why. Called by `call.ts` and `answer.ts`.
 */
import { isUtf8 } from 'node:buffer';
import { TextDecoder } from 'node:util';
import zlib from 'node:zlib';

/** Says what is wrong with a body, without a word of it. */
export class BodyError extends Error {
  override readonly name = 'BodyError';
  constructor(
    readonly failure: 'garbage' | 'too large',
    message: string,
  ) {
    super(message);
  }
}

interface BodyHeaders {
  contentType: string | undefined;
  contentEncoding: string | undefined;
}

/**
 * @param limit bytes at most, packed and unpacked alike
 * @throws BodyError
 */
export function textOf(packed: Buffer, { contentType, contentEncoding }: BodyHeaders, limit: number): string {
  const bytes = contentEncoding === undefined ? packed : unpack(packed, contentEncoding, limit);
  const charset = contentType === undefined ? undefined : /;\s*charset\s*=\s*"?([^\s;",]+)/i.exec(contentType)?.[1];
  return decode(bytes, charset);
}

/** Encodings that an answer may lie in, one in the other. */
const MOST_LAYERS = 3;

function unpack(packed: Buffer, contentEncoding: string, limit: number): Buffer {
  const layers = contentEncoding
    .split(',')
    .map((layer) => layer.trim().toLowerCase())
    .filter((layer) => layer !== '' && layer !== 'identity');
  if (layers.length > MOST_LAYERS) throw new BodyError('garbage', `a body that is packed ${layers.length} times`);
  let bytes = packed;
  // The last one named was the last to be laid around it.
  for (const layer of layers.reverse()) if (bytes.length > 0) bytes = unpackLayer(bytes, layer, limit);
  return bytes;
}

function unpackLayer(bytes: Buffer, layer: string, limit: number): Buffer {
  const options = { maxOutputLength: Math.max(1, limit) };
  try {
    switch (layer) {
      case 'gzip':
      case 'x-gzip':
        return zlib.gunzipSync(bytes, options);
      case 'br':
        return zlib.brotliDecompressSync(bytes, options);
      case 'deflate':
        // By the standard with zlib's header; some servers leave it out.
        return (bytes[0]! & 0x0f) === 8 ? zlib.inflateSync(bytes, options) : zlib.inflateRawSync(bytes, options);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new BodyError('too large', `a body of more than ${limit} bytes once unpacked`);
    throw new BodyError('garbage', `a body that cannot be unpacked (${layer})`);
  }
  const name = /^[a-z0-9-]{1,20}$/.test(layer) ? layer : 'an unknown encoding';
  throw new BodyError('garbage', `a body that is packed (${name}); gzip, br and deflate can be read`);
}

const decoders = new Map<string, TextDecoder | null>();

function decode(bytes: Buffer, charset: string | undefined): string {
  const label = markOf(bytes) ?? charset?.toLowerCase() ?? 'utf-8';
  if (label === 'utf-8' || label === 'utf8') {
    if (isUtf8(bytes)) return withoutMark(bytes.toString('utf8'));
    throw new BodyError(
      'garbage',
      charset === undefined ? 'a body that is not UTF-8 and names no charset' : 'a body that is not the UTF-8 it says',
    );
  }
  // Nobody says which of the two; what begins JSON is one byte and a zero.
  const decoder = decoderOf(label === 'utf-16' ? (bytes[0] === 0 ? 'utf-16be' : 'utf-16le') : label);
  if (decoder.encoding === 'windows-1252') return windows1252(bytes);
  try {
    return decoder.decode(bytes);
  } catch {
    throw new BodyError('garbage', `a body that is not in its charset ${decoder.encoding}`);
  }
}

/**
 * The characters 0x80 to 0x9f of windows-1252, which Latin-1 does not have; a blank stands for one that is the same in
 * both.
 */
const WINDOWS_1252 = '€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ';

/**
 * By ourselves, for several releases of Node take it for Latin-1. Under that name most servers mean this, and so the
 * web reads it.
 */
function windows1252(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[\x80-\x9f]/g, (letter) => {
    const other = WINDOWS_1252[letter.charCodeAt(0) - 0x80]!;
    return other === ' ' ? letter : other;
  });
}

/** A byte order mark says more than a label. */
function markOf(bytes: Buffer): string | undefined {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return 'utf-8';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  return undefined;
}

function withoutMark(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/** Kept by label, so that a server that invents labels costs no more than a hundred of them. */
function decoderOf(label: string): TextDecoder {
  let decoder = decoders.get(label);
  if (decoder === undefined) {
    try {
      decoder = new TextDecoder(label, { fatal: true });
    } catch {
      decoder = null;
    }
    if (decoders.size < 100) decoders.set(label, decoder);
  }
  if (decoder) return decoder;
  const name = /^[a-z0-9_:-]{1,30}$/.test(label) ? `"${label}"` : 'that it names';
  throw new BodyError('garbage', `a body in a charset ${name} that is not known`);
}

/** A whole number with fewer digits than this fits a number of JavaScript without loss; longer ones are looked at. */
const LONG_INTEGER = /\d{16}/;
/**
 * The beginning of a text, or a whole number of sixteen digits and more that is neither a fraction nor has an exponent.
 */
const TEXT_OR_LONG = /"|(?<![\d.eE+-])-?[1-9]\d{15,}(?![\d.eE])/g;

/**
 * JSON whose whole numbers beyond 2^53 come as text, digit for digit, instead of being rounded: ids of Discord, Twitter
 * and Steam. Smaller ones stay numbers.
 */
export function parseExact(text: string): unknown {
  if (!LONG_INTEGER.test(text)) return JSON.parse(text);
  let exact = '';
  let copied = 0;
  TEXT_OR_LONG.lastIndex = 0;
  for (let match = TEXT_OR_LONG.exec(text); match; match = TEXT_OR_LONG.exec(text)) {
    const [found] = match;
    if (found === '"') {
      // By hand: an expression that runs over a text of some megabytes uses up its stack.
      TEXT_OR_LONG.lastIndex = endOfText(text, match.index);
    } else if (!Number.isSafeInteger(Number(found))) {
      exact += `${text.slice(copied, match.index)}"${found}"`;
      copied = TEXT_OR_LONG.lastIndex;
    }
  }
  return JSON.parse(exact + text.slice(copied));
}

/** The index behind the string that begins with a quote at `from`. */
function endOfText(json: string, from: number): number {
  for (let quote = json.indexOf('"', from + 1); quote >= 0; quote = json.indexOf('"', quote + 1)) {
    let slashes = 0;
    while (json[quote - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return quote + 1;
  }
  return json.length;
}
