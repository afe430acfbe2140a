#!/usr/bin/env node
const { main } = require('../dist/client/cli/main.js');

main(process.argv.slice(2)).then((status) => {
  // Output that is still on its way to a pipe is written first; nothing else may hold the process.
  process.exitCode = status;
});
