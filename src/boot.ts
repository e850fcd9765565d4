/**
 * The part of the public API that a cached pull needs: loading more would slow the boot path. Files on this path get Node's modules from
 * `process.getBuiltinModule`: an import of node:fs evaluates all its exports, and so loads streams and promises.
 */
export { openStore } from "./api/store.ts";
export { Registry } from "./api/registry.ts";
