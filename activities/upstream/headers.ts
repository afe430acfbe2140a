/**
 * Reads the few response headers that matter, straight from the bytes that undici hands over: most headers of
 * an answer are never looked at, so none is turned into a string before somebody asks. Called by `call.ts`.
 */

/** The value of a header in undici's raw list (name, value, name, value …), or undefined. `name` is in lower case. */
export function headerOf(raw: readonly Buffer[], name: string): string | undefined {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (matches(raw[i]!, name)) return raw[i + 1]!.toString('latin1');
  }
  return undefined;
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

/** Seconds of `max-age` in a Cache-Control header, or undefined. */
export function maxAgeOf(cacheControl: string): number | undefined {
  const match = /(?:^|[,\s])max-age=(\d+)/i.exec(cacheControl);
  return match ? Number(match[1]) : undefined;
}

/** `Retry-After` in milliseconds from now: seconds, or an HTTP date read by the server's clock. */
export function retryAfterMs(value: string, now: number, clock: ServerClock): number | undefined {
  const text = value.trim();
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1_000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, clock.toLocal(at) - now);
}

const WINDOW_MS = 60_000;

/**
 * What the server's clock says in terms of ours, learned from `Date` headers. Those are cut to the second, so one
 * answer places the server's clock only within a second; the greatest `Date - now` of the last one to two minutes
 * comes close to the truth and never passes it. Hence a time it translates is never early: asking before `Expires` may
 * be taken as going round the cache.
 */
export class ServerClock {
  private best = -Infinity;
  private previous = -Infinity;
  private since = -Infinity;
  private lastText = '';
  private lastMs = NaN;

  /** Takes note of a `Date` header received at `now`. */
  observe(date: string, now: number): void {
    const ahead = this.parse(date) - now;
    if (Number.isNaN(ahead)) return;
    if (now - this.since > WINDOW_MS || now < this.since) {
      this.previous = now - this.since > 2 * WINDOW_MS ? -Infinity : this.best;
      this.best = ahead;
      this.since = now;
    } else if (ahead > this.best) {
      this.best = ahead;
    }
  }

  /** A time of the server's in our own epoch milliseconds; as it is, before any `Date` was seen. */
  toLocal(serverMs: number): number {
    const ahead = Math.max(this.best, this.previous);
    return ahead === -Infinity ? serverMs : serverMs - ahead;
  }

  /** `Date.parse` that remembers the last text: within a second, every answer has the same. */
  private parse(text: string): number {
    if (text !== this.lastText) {
      this.lastText = text;
      this.lastMs = Date.parse(text);
    }
    return this.lastMs;
  }
}
