/** The config of the chat: `npx longwatch dev --config examples/chat/longwatch.config.ts`. */
import { defineConfig } from 'longwatch';
import { rooms, users } from './rooms';

export default defineConfig({ trackers: [rooms, users] });
