/**
 * The files of the page: what the build has put into its folder, and nothing else, read once. Served by `app.ts` with
 * headers that let the page load only from where it came, and run no script that stands in its text.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
};

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

/** On every answer of the dashboard. */
export const SAFE_HEADERS = {
  'content-security-policy': POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

interface PageFile {
  body: Uint8Array<ArrayBuffer>;
  type: string;
  tag: string;
}

const isCompiled = path.basename(path.dirname(__dirname)) === 'dist';

/** The folder into which the build puts them, beside the compiled code. */
export const PAGE_FOLDER = path.join(__dirname, isCompiled ? '.' : '../dist/http', 'page');

export class PageFiles {
  private readonly files = new Map<string, PageFile>();

  constructor(folder: string) {
    for (const name of namesIn(folder)) {
      const type = TYPES[path.extname(name)];
      if (type === undefined) continue;
      const body = new Uint8Array(readFileSync(path.join(folder, name)));
      const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
      this.files.set(name, { body, type, tag });
    }
  }

  /** Undefined: there is no such file. */
  answer(name: string, request: Request): Response | undefined {
    const file = this.files.get(name);
    if (!file) return undefined;
    const headers = { etag: file.tag, 'cache-control': 'no-cache' };
    if (request.headers.get('if-none-match') === file.tag) return new Response(null, { status: 304, headers });
    return new Response(file.body, { headers: { ...headers, 'content-type': file.type } });
  }
}

/** In a work tree the page may not have been built. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : []));
  } catch {
    return [];
  }
}
