/** Opens the store of a command. */
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

/** Opens a store that must exist, so that a mistyped path does not create one. @throws NOT_A_STORE */
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
function requireStore(path: string): void {
  if (existsSync(join(path, "store.json"))) return;
  const message = `${JSON.stringify(path)} is not a store; shale pull creates one, --store or SHALE_STORE selects another`;
  throw new ShaleError("NOT_A_STORE", message, { path });
}
