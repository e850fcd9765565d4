#!/usr/bin/env node
/** `shale fsck` as a program of its own: docs/fsck.md. */
process.argv.splice(2, 0, "fsck");
await import("../src/cli/main.ts");
