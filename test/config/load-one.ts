/** Loads one config for `load.test.ts`, in a process of its own: Jest's module loader and tsx's cannot share one. */
import Module from 'node:module';
import { loadConfig } from '../../config/load';

/** The compiler puts itself in its place; that of this process was there before. */
const finder = (): unknown => (Module as unknown as { _resolveFilename: unknown })._resolveFilename;
const before = finder();
const [folder, file] = process.argv.slice(2);
loadConfig(file, folder).then(
  ({ path, config, dev }) => console.log(JSON.stringify({ path, config, dev, compiled: finder() !== before })),
  (error: Error) => console.log(JSON.stringify({ error: { name: error.name, message: error.message } })),
);
