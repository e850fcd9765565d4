import { isAbsolute, join } from "node:path";

const { homedir } = process.getBuiltinModule("node:os");

/** Where the store is when no --store says so: SHALE_STORE, else a directory of the XDG cache. An empty variable counts as unset. */
export function defaultStore(env: Readonly<Record<string, string | undefined>>): string {
  if (env["SHALE_STORE"]) return env["SHALE_STORE"];
  // the XDG base directory specification has relative paths ignored
  const cache = env["XDG_CACHE_HOME"];
  if (cache && isAbsolute(cache)) return join(cache, "shale");
  return join(env["HOME"] || homedir(), ".cache", "shale");
}
