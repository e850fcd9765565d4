/**
 * Loads undici's `Agent` alone. undici's index also loads fetch, WebSocket, caches and mocks, which takes 2.5 times the CPU. It also adds
 * methods to every dispatcher; `ProxyAgent` needs them, `Agent` does not.
 */
import { createRequire } from "node:module";
import type { Agent } from "undici";
import { isErrno } from "../../errors.ts";

/** Undocumented: if it is missing, the index is loaded. */
const AGENT = "undici/lib/dispatcher/agent.js";

/** Takes tens of milliseconds at the first call. `path` is for tests. */
export function loadAgent(path: string = AGENT): typeof Agent {
  const load = createRequire(import.meta.url);
  try {
    return load(path) as typeof Agent;
  } catch (error) {
    if (!isErrno(error, "MODULE_NOT_FOUND", "ERR_PACKAGE_PATH_NOT_EXPORTED")) throw error;
    return (load("undici") as { readonly Agent: typeof Agent }).Agent;
  }
}
