/**
 * undici's `Agent` alone. Its index loads fetch, WebSocket, caches and mocks as well, at 2.5 times the CPU, and hangs methods on every
 * dispatcher of which an agent that only dispatches needs none (a `ProxyAgent` does).
 */
import { createRequire } from "node:module";
import type { Agent } from "undici";
import { isErrno } from "../../errors.ts";

/** Not documented: where it is not found, the index serves. */
const AGENT = "undici/lib/dispatcher/agent.js";

/** Loads for tens of milliseconds, the first time. `path` is for tests. */
export function loadAgent(path: string = AGENT): typeof Agent {
  const load = createRequire(import.meta.url);
  try {
    return load(path) as typeof Agent;
  } catch (error) {
    if (!isErrno(error, "MODULE_NOT_FOUND", "ERR_PACKAGE_PATH_NOT_EXPORTED")) throw error;
    return (load("undici") as { readonly Agent: typeof Agent }).Agent;
  }
}
