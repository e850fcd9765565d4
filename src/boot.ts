/** The part of the public API that a cached pull needs, without the rest: what is loaded counts on the boot path. */
export { openStore } from "./pull/open-store.ts";
export { Registry } from "./pull/registry.ts";
