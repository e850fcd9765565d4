/** The store that a command works on. */
import { join } from "node:path";
import { ShaleError } from "../errors.ts";
import type { Store, StoreOptions } from "../index.ts";
import type { Context, Line } from "./command.ts";
import { defaultStore } from "./default-store.ts";
import { text } from "./values.ts";

const { existsSync } = process.getBuiltinModule("node:fs");

export function storePath({ values }: Pick<Line, "values">, { env }: Context): string {
  return text(values, "store") ?? defaultStore(env);
}

/** A store that must be there: a mistyped directory does not become one. @throws NOT_A_STORE */
export async function openExistingStore(
  line: Pick<Line, "values">,
  context: Context,
  onWarning: StoreOptions["onWarning"],
): Promise<Store> {
  const path = storePath(line, context);
  requireStore(path);
  const { openStore } = await context.loadBoot();
  return openStore(path, { signal: context.signal, onWarning });
}

/** @throws NOT_A_STORE */
export function requireStore(path: string): void {
  if (existsSync(join(path, "store.json"))) return;
  const message = `there is no store in ${JSON.stringify(path)}; shale pull makes one, and --store or SHALE_STORE name another`;
  throw new ShaleError("NOT_A_STORE", message, { path });
}
