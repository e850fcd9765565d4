/**
 * The part of the public API that a cached pull needs, without the rest: what is loaded counts on the boot path. Files on this path take
 * Node's own modules by `process.getBuiltinModule`: an import of node:fs evaluates all that it exports, and so loads streams and promises.
 */
export { openStore } from "./api/store.ts";
export { Registry } from "./api/registry.ts";
