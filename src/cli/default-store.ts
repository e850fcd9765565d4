import { isAbsolute, join } from "node:path";

const { homedir } = process.getBuiltinModule("node:os");

/** The store without --store: SHALE_STORE, else `shale` in the XDG cache directory. An empty variable counts as unset. */
export function defaultStore(env: Readonly<Record<string, string | undefined>>): string {
  if (env["SHALE_STORE"]) return env["SHALE_STORE"];
  // the XDG base directory specification says to ignore relative paths
  const cache = env["XDG_CACHE_HOME"];
  if (cache && isAbsolute(cache)) return join(cache, "shale");
  return join(env["HOME"] || homedir(), ".cache", "shale");
}
