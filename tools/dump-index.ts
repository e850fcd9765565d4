#!/usr/bin/env node
/** `shale dump-index` as a program of its own: docs/dump-index.md. */
process.argv.splice(2, 0, "dump-index");
await import("../src/cli/main.ts");
