/**
 * The name of a bucket within its limit, as it stands in memory, in the ledger and on the screen. A key that is a
 * secret, that PostgreSQL could not keep, that is long or has no letters becomes a hash. Called by `node/` for each use
 * of a bucket, so the hashes of the last keys are kept.
 */
import { createHash } from 'node:crypto';

/**
 * Keys up to this are kept as they are, characters: an index takes no more than 2,700 bytes, and what is longer is most
 * likely a token.
 */
const LONGEST = 100;
/** Control characters and halves of characters: PostgreSQL, a terminal or a line of the log cannot have them. */
const ODD = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Cf}]/u;
const KEPT_HASHES = 10_000;

const hashes = new Map<string, string>();

/**
 * @param scope upstream and limit: the same secret has another hash in another place
 * @param isSecret the key is nowhere to be read: not in the ledger, a log or on the screen
 */
export function storedKey(scope: string, key: string, isSecret: boolean): string {
  if (!isSecret && key !== '' && key.length <= LONGEST && !ODD.test(key) && !key.startsWith('#')) return key;
  const whole = `${scope}\n${key}`;
  const known = hashes.get(whole);
  if (known !== undefined) return known;
  const hash = `#${createHash('sha256').update(whole).digest('base64url').slice(0, 32)}`;
  if (hashes.size >= KEPT_HASHES) hashes.clear();
  hashes.set(whole, hash);
  return hash;
}

/** For people: a hash by its beginning, which is enough to tell it from others. */
export function shownKey(stored: string): string {
  return stored.startsWith('#') ? `${stored.slice(0, 9)}…` : stored;
}
