#!/usr/bin/env node
void require('../dist/client/cli/main.js').runAndExit();
