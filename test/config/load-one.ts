/** Loads one config for `load.test.ts`, in a process of its own: Jest's module loader and tsx's cannot share one. */
import { loadConfig } from '../../workers/config/load';

const [folder, file] = process.argv.slice(2);
loadConfig(file, folder).then(
  ({ path, config, dev }) => console.log(JSON.stringify({ path, config, dev })),
  (error: Error) => console.log(JSON.stringify({ error: { name: error.name, message: error.message } })),
);
