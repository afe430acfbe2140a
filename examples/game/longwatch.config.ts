/** The example's config: three jobs over the game's tables; no tracker. */
import { defineConfig } from 'longwatch';
import { gameJobs } from './jobs';
import { gameSettings } from './settings';

export default defineConfig(gameJobs(gameSettings()));
