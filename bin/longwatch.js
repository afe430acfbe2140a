#!/usr/bin/env -S MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072 node --max-semi-space-size=8
// glibc raises the threshold by itself as it sees large blocks freed, and keeps tens of megabytes after a burst of them; said by
// hand it stays, and they go back to the system. Two arenas do for the few threads that allocate. Other C libraries ignore both.
// V8's young generations, the main thread's and that of the workflows, would each grow to 48 MB in a burst and stay so: here, 24.
void require('../dist/client/cli/main.js').runAndExit();
