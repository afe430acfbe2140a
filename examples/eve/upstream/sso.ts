/**
 * The login server: access tokens of some twenty minutes, and refresh tokens that change at each use. A token says
 * who it is for, when it ends and its serial number, and is sealed with the seed, so a restarted upstream still knows
 * the tokens of before. Asked by `server.ts`.
 */
import { createHmac } from 'node:crypto';

export type TokenCheck = 'valid' | 'missing' | 'wrong' | 'expired' | 'other character';

interface Grants {
  /** The serial number of the only refresh token that is still good. */
  serial: number;
  /** The access token that was last found to be genuine, and its end. */
  access: string;
  accessEnds: number;
}

export interface TokenAnswer {
  access_token: string;
  token_type: 'Bearer';
  expires_in: number;
  refresh_token: string;
}

export class Sso {
  private readonly grants = new Map<number, Grants>();

  constructor(private readonly seed: number) {}

  /** A player logs in by hand: the start of a series of refresh tokens. */
  login(id: number, now: number, lifeSeconds: number): TokenAnswer {
    const grants = this.grantsOf(id);
    grants.serial += 1;
    return this.answer(id, grants.serial, now, lifeSeconds);
  }

  /** Undefined: the refresh token is no longer good, or never was. */
  refresh(token: string, now: number, lifeSeconds: number): TokenAnswer | undefined {
    const parts = this.open('r', token);
    if (!parts) return undefined;
    const grants = this.grantsOf(parts.id);
    // A greater one than known was handed out before this upstream was restarted.
    if (parts.number < grants.serial) return undefined;
    grants.serial = parts.number + 1;
    return this.answer(parts.id, grants.serial, now, lifeSeconds);
  }

  /** Makes the refresh token that a character holds useless, as a player does who takes back the permission. */
  revoke(id: number): void {
    this.grantsOf(id).serial += 1;
  }

  check(id: number, authorization: string | undefined, now: number): TokenCheck {
    if (authorization === undefined || !authorization.startsWith('Bearer ')) return 'missing';
    const grants = this.grants.get(id);
    if (grants && authorization.length - 7 === grants.access.length && authorization.endsWith(grants.access)) {
      return now < grants.accessEnds ? 'valid' : 'expired';
    }
    const token = authorization.slice(7);
    const parts = this.open('a', token);
    if (!parts) return 'wrong';
    if (parts.id !== id) return 'other character';
    const known = this.grantsOf(id);
    known.access = token;
    known.accessEnds = parts.number;
    return now < parts.number ? 'valid' : 'expired';
  }

  private answer(id: number, serial: number, now: number, lifeSeconds: number): TokenAnswer {
    return {
      access_token: this.sealed(`a.${id}.${Math.floor(now + lifeSeconds * 1_000)}`),
      token_type: 'Bearer',
      expires_in: lifeSeconds,
      refresh_token: this.sealed(`r.${id}.${serial}`),
    };
  }

  private grantsOf(id: number): Grants {
    let grants = this.grants.get(id);
    if (!grants) this.grants.set(id, (grants = { serial: 0, access: '', accessEnds: 0 }));
    return grants;
  }

  private sealed(text: string): string {
    const seal = createHmac('sha256', `longwatch example ${this.seed}`).update(text).digest('base64url');
    return `${text}.${seal.slice(0, 22)}`;
  }

  private open(kind: 'a' | 'r', token: string): { id: number; number: number } | undefined {
    const match = /^([ar])\.(\d{1,10})\.(\d{1,15})\./.exec(token);
    if (!match || match[1] !== kind) return undefined;
    if (this.sealed(`${kind}.${match[2]}.${match[3]}`) !== token) return undefined;
    return { id: Number(match[2]), number: Number(match[3]) };
  }
}
