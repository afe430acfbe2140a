/**
 * The players of the example's upstream: where each is, what they fly, whether they are on, what they own. A
 * character comes into being when somebody first asks for its id, and lives on only when asked again; the same
 * seed, id and time always give the same life. Asked by `routes.ts`.
 */

/** System, its neighbours (as indexes into the map) and its station. Seven systems around a trade hub. */
const MAP: readonly { system: number; station: number; gates: readonly number[] }[] = [
  { system: 30000142, station: 60003760, gates: [1, 2, 3] },
  { system: 30000144, station: 60003466, gates: [0, 4] },
  { system: 30000145, station: 60003469, gates: [0, 5] },
  { system: 30000139, station: 60000631, gates: [0, 6] },
  { system: 30000138, station: 60004423, gates: [1] },
  { system: 30002780, station: 60008494, gates: [2, 6] },
  { system: 30002768, station: 60011866, gates: [3, 5] },
];
const SHIP_TYPES = [587, 603, 11198, 17812, 29990, 33470] as const;
const CORPORATIONS = [1000044, 1000045, 98000001, 98000002, 98000003] as const;

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

export interface Character {
  readonly id: number;
  readonly corporation: number;
  readonly birthday: string;
  /** Index into the map. */
  place: number;
  docked: boolean;
  online: boolean;
  shipType: number;
  shipItem: number;
  /** Hundredths of an ISK, so that sums stay exact. */
  wallet: number;
  logins: number;
  lastLogin: number;
  lastLogout: number;
  /** When something happens next, epoch ms. */
  nextEvent: number;
  /** State of its own random numbers. */
  random: number;
}

/** Four bytes of a well-mixed hash. */
export function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
}

/** The next random number of a character, 0 ≤ x < 1. */
function draw(character: Character): number {
  character.random = (character.random + 0x9e3779b9) | 0;
  return mix(character.random) / 2 ** 32;
}

export class World {
  private readonly characters = new Map<number, Character>();

  /** @param epoch When every life begins, epoch ms. @param pace Events come this many times as fast. */
  constructor(
    private readonly seed: number,
    private readonly epoch: number,
    private readonly pace = 1,
  ) {}

  /** Ids that can be characters: whole numbers from 1 to 2^31 - 1. */
  static isCharacterId(id: number): boolean {
    return Number.isSafeInteger(id) && id > 0 && id < 2 ** 31;
  }

  /** The character as it is at a time, which must not go back. */
  at(id: number, now: number): Character {
    let character = this.characters.get(id);
    if (!character) this.characters.set(id, (character = this.create(id)));
    while (character.nextEvent <= now) this.live(character);
    return character;
  }

  get size(): number {
    return this.characters.size;
  }

  private create(id: number): Character {
    const character: Character = {
      id,
      corporation: CORPORATIONS[mix(id) % CORPORATIONS.length]!,
      birthday:
        new Date(Date.UTC(2003, 4, 6) + (mix(id ^ 7) % (20 * 365)) * 86_400_000).toISOString().slice(0, 19) + 'Z',
      place: 0,
      docked: true,
      online: false,
      shipType: SHIP_TYPES[0],
      shipItem: 1_000_000_000_000 + id,
      wallet: 0,
      logins: 1,
      lastLogin: this.epoch,
      lastLogout: this.epoch,
      nextEvent: this.epoch,
      random: mix(this.seed ^ Math.imul(id, 0x9e3779b1)) | 0,
    };
    character.place = Math.floor(draw(character) * MAP.length);
    character.docked = draw(character) < 0.5;
    character.online = draw(character) < 0.7;
    character.shipType = SHIP_TYPES[Math.floor(draw(character) * SHIP_TYPES.length)]!;
    character.wallet = Math.floor(draw(character) * 1e11);
    character.logins = 1 + Math.floor(draw(character) * 5_000);
    character.lastLogin = Math.floor((this.epoch - draw(character) * 180 * MINUTE) / SECOND) * SECOND;
    character.lastLogout = character.lastLogin - 8 * 60 * MINUTE;
    this.wait(character, character.online ? 20 * SECOND : 10 * MINUTE);
    return character;
  }

  /** One event, and when the next one is. */
  private live(character: Character): void {
    const when = Math.floor(character.nextEvent / SECOND) * SECOND;
    if (!character.online) {
      character.online = true;
      character.logins += 1;
      character.lastLogin = when;
      this.wait(character, 20 * SECOND);
      return;
    }
    const choice = draw(character);
    if (choice < 0.04) {
      character.online = false;
      character.lastLogout = when;
      this.wait(character, 10 * MINUTE);
      return;
    }
    if (character.docked) {
      if (choice < 0.3) {
        character.shipType = SHIP_TYPES[Math.floor(draw(character) * SHIP_TYPES.length)]!;
        character.shipItem += 1_000_000;
      } else {
        character.docked = false;
      }
    } else if (choice < 0.25) {
      character.docked = true;
    } else {
      const { gates } = MAP[character.place]!;
      character.place = gates[Math.floor(draw(character) * gates.length)]!;
      character.wallet += Math.floor(draw(character) * 5e7);
    }
    this.wait(character, 20 * SECOND);
  }

  private wait(character: Character, meanMs: number): void {
    // Half to one and a half of the mean, and never nothing, for a life has to move on.
    character.nextEvent += Math.max(1, (meanMs * (0.5 + draw(character))) / this.pace);
  }
}

// ── What the routes say, in ESI's words ──────────────────────────────────────────────────────

export const bodies = {
  location: (c: Character): string => {
    const { system, station } = MAP[c.place]!;
    return c.docked ? `{"solar_system_id":${system},"station_id":${station}}` : `{"solar_system_id":${system}}`;
  },
  ship: (c: Character): string =>
    `{"ship_item_id":${c.shipItem},"ship_name":"Pilot ${c.id}'s ship","ship_type_id":${c.shipType}}`,
  online: (c: Character): string =>
    `{"last_login":"${iso(c.lastLogin)}","last_logout":"${iso(c.lastLogout)}","logins":${c.logins},"online":${c.online}}`,
  wallet: (c: Character): string => (c.wallet / 100).toFixed(2),
  info: (c: Character): string =>
    `{"birthday":"${c.birthday}","bloodline_id":${1 + (mix(c.id ^ 3) % 14)},"corporation_id":${c.corporation},` +
    `"gender":"${mix(c.id ^ 5) % 2 ? 'male' : 'female'}","name":"Pilot ${c.id}","race_id":${1 + (mix(c.id ^ 9) % 8)},` +
    `"security_status":${((mix(c.id ^ 11) % 1000) / 100 - 5).toFixed(2)}}`,
} as const;

const iso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
