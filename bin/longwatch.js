#!/usr/bin/env -S MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072 node
// glibc raises the threshold by itself as it sees large blocks freed, and keeps tens of megabytes after a burst of them; said by
// hand it stays, and they go back to the system. Two arenas do for the few threads that allocate. Other C libraries ignore both.
void require('../dist/client/cli/main.js').runAndExit();
