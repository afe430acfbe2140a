/**
 * How often the game's jobs run, and what counts as idle or old: the figures of the real game, or those that `main.ts`
 * gives its worker so that a minute shows all of it.
 */
export interface GameSettings {
  regenEvery: string;
  combatEvery: string;
  decayEvery: string;
  /** A fight without a turn for so long is ended. Seconds. */
  idleSeconds: number;
  /** An item that lies on the ground for longer is gone. Seconds. */
  decaySeconds: number;
}

const DEFAULTS: GameSettings = {
  regenEvery: '5m',
  combatEvery: '1m',
  decayEvery: '5m',
  idleSeconds: 300,
  decaySeconds: 3_600,
};

/** The worker gets them as one variable; nobody writes it by hand. */
export const SETTINGS_VARIABLE = 'GAME_SETTINGS';

export function gameSettings(env: NodeJS.ProcessEnv = process.env): GameSettings {
  const given = env[SETTINGS_VARIABLE];
  return { ...DEFAULTS, ...(given ? (JSON.parse(given) as Partial<GameSettings>) : {}) };
}
