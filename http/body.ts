/**
 * The body of a request, read within bounds: its size is counted while it comes, its depth before anything walks
 * through it. Called by `answer.ts`. The last one of two equal keys counts, as everywhere in JavaScript.
 */
import { ApiError } from './problems';

/** 200,000 ids of 36 characters; more goes in several requests. */
const MOST_BYTES = 8 * 1024 * 1024;
/** Deeper than anything that somebody writes, and far from where a stack ends. */
const MOST_DEPTH = 200;

/** @returns its text; empty: there is none */
export async function readText(request: Request, most = MOST_BYTES): Promise<string> {
  const encoding = request.headers.get('content-encoding') ?? 'identity';
  if (encoding.toLowerCase() !== 'identity')
    throw new ApiError(415, 'InvalidRequest', 'the body must be sent as it is, without a content-encoding');
  const said = Number(request.headers.get('content-length') ?? 0);
  if (said > most) throw tooLarge(most);
  if (request.headers.get('content-length') === '0') return '';
  // A framework has read it, and hands on what is left; or it still holds the stream.
  if (request.bodyUsed || request.body?.locked) throw taken();
  const body = await readBytes(request, most);
  // A command on some things, without its body, is one on all of them.
  if (body.byteLength < said || (body.byteLength === 0 && request.headers.has('transfer-encoding'))) throw taken();
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new ApiError(400, 'InvalidRequest', 'the body is not UTF-8');
  }
}

async function readBytes(request: Request, most: number): Promise<Buffer> {
  if (request.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = request.body.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const chunk = read.value as Uint8Array;
    bytes += chunk.byteLength;
    if (bytes > most) {
      await reader.cancel().catch(() => undefined);
      throw tooLarge(most);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @param text as `readText` gave it; without one it is an empty object. */
export function parseBody(text: string, contentType: string | null): unknown {
  if (text === '') return {};
  // A form of another site can be sent without asking; JSON cannot.
  if (!/^application\/json\s*(;|$)/i.test(contentType ?? ''))
    throw new ApiError(415, 'InvalidRequest', 'the body must be JSON, sent with content-type: application/json');
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, 'InvalidRequest', `the body is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
  if (isDeeper(body, MOST_DEPTH))
    throw new ApiError(400, 'InvalidRequest', `the body is nested more than ${MOST_DEPTH} deep`);
  return body;
}

/** A level at a time, so that no depth is too much for it. */
function isDeeper(value: unknown, most: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > most) return true;
    const deeper: unknown[] = [];
    for (const each of level) {
      if (typeof each !== 'object' || each === null) continue;
      for (const child of Object.values(each)) if (typeof child === 'object' && child !== null) deeper.push(child);
    }
    level = deeper;
  }
  return false;
}

const taken = (): ApiError =>
  new ApiError(
    400,
    'InvalidRequest',
    'the body that was announced has not come: in a program, mount the dashboard before what reads bodies (express.json(), say)',
  );

const tooLarge = (most: number): ApiError => {
  const size = most < MOST_BYTES ? `${most} bytes` : `${most / 1024 / 1024} MB`;
  return new ApiError(413, 'TooLarge', `this body has ${size} at most; send less, or several requests`);
};
