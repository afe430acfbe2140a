#!/usr/bin/env -S node --max-semi-space-size=32
// The flag: what waits for the next flush survives many collections of V8's young space of 16 MB, and copying it
// each time takes a fifth of a busy worker. At most 48 MB more memory.
void require('../dist/client/cli/main.js').runAndExit();
