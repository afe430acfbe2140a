/**
 * Callers and their roles: `read` sees everything, `operate` also commands, `admin` also drops what cannot be had
 * back. Tokens are known by their hashes only, and compared in constant time; the name that stands beside the hash is
 * the actor of the audit. Used by `gate.ts` for each request, and by `longwatch token new`.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export const ROLES = ['read', 'operate', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** One who was let in. */
export interface Caller {
  /** For the audit. */
  name: string;
  role: Role;
}

/** The same, and how. */
export interface LetIn extends Caller {
  /** By the cookie that `login` has set: a page can sign out. */
  byCookie: boolean;
}

export function may(caller: Caller, needed: Role): boolean {
  return ROLES.indexOf(caller.role) >= ROLES.indexOf(needed);
}

/** A token as it stands in the settings: `NAME:ROLE:SHA-256 in hex`. */
export interface KnownToken extends Caller {
  hash: Buffer;
}

const PREFIX = 'lw_';
/** A line of the settings is split at blanks, commas and colons. */
const NAME = /^[^\s,:]{1,100}$/;

/** A new token, to be shown once, and the line for the settings. @throws TypeError for a name that may not be */
export function newToken(name: string, role: Role): { token: string; line: string } {
  if (!NAME.test(name)) throw new TypeError("a token's name has 1 to 100 characters, without blanks, ',' and ':'");
  const token = PREFIX + randomBytes(32).toString('base64url');
  return { token, line: `${name}:${role}:${hashOf(token).toString('hex')}` };
}

/** @throws TypeError that says which line is not one, without its hash */
export function readTokens(text: string): KnownToken[] {
  return text
    .split(/[\s,]+/)
    .filter((line) => line !== '')
    .map((line, i) => {
      const [name, role, hash, ...more] = line.split(':');
      if (!NAME.test(name ?? '') || !isRole(role) || !/^[0-9a-f]{64}$/.test(hash ?? '') || more.length > 0)
        throw new TypeError(
          `token ${i + 1} is not NAME:read|operate|admin:HASH; make one with: npx longwatch token new`,
        );
      return { name: name!, role, hash: Buffer.from(hash!, 'hex') };
    });
}

/** All of them are looked at, however many: the time says nothing of which one was nearly right. */
export function callerOf(token: string, known: readonly KnownToken[]): Caller | undefined {
  const hash = hashOf(token);
  let found: Caller | undefined;
  for (const each of known) if (timingSafeEqual(each.hash, hash)) found ??= { name: each.name, role: each.role };
  return found;
}

/** Tokens are long and random: one round of a fast hash is enough, and costs nobody anything. */
const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest();

export const isRole = (text: unknown): text is Role => ROLES.includes(text as Role);

/** Failed tries of one address a minute; past them it waits for the next minute. */
const TRIES = 10;
const MINUTE_MS = 60_000;
/** Addresses that are remembered: more than that, and the oldest are forgotten. */
const ADDRESSES = 10_000;

/**
 * Counts failed tries: tokens that are not known, each once a minute. A page or a program whose token was taken back
 * sends the same one again and again, which is not a guess, and must not keep out all who share its address. Times are
 * of a clock that only goes on, milliseconds.
 */
export class Tries {
  /** Tokens by their hashes. */
  private readonly failed = new Map<string, { tokens: Set<string>; since: number }>();

  /** So long it waits before its next try. 0: it may. */
  waitMs(address: string, now: number): number {
    const seen = this.failed.get(address);
    return seen === undefined || seen.tokens.size < TRIES ? 0 : Math.max(0, seen.since + MINUTE_MS - now);
  }

  note(address: string, token: string, now: number): void {
    const hash = hashOf(token).toString('base64');
    const seen = this.failed.get(address);
    if (seen !== undefined && now - seen.since < MINUTE_MS) {
      if (seen.tokens.size < TRIES) seen.tokens.add(hash);
      return;
    }
    this.failed.delete(address);
    this.failed.set(address, { tokens: new Set([hash]), since: now });
    if (this.failed.size > ADDRESSES) this.failed.delete(this.failed.keys().next().value!);
  }
}
