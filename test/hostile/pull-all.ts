/** `pull-all.js STORE FILE` pulls the references that FILE lists and ignores failures. Tests trace its system calls. */
import { readFileSync } from "node:fs";
import { argv } from "node:process";
import { openStore, Registry } from "../../src/index.ts";

await using store = await openStore(argv[2]!, { profile: "overlay" });
await using registry = new Registry({ store, plainHttp: true, credentials: undefined });
for (const reference of readFileSync(argv[3]!, "utf8").split("\n")) {
  const image = await registry.pull(reference, { force: true }).catch(() => undefined);
  await image?.close();
}
