/** Pulls an image into a store by plain HTTP, as a process of its own that can be killed: STORE REFERENCE. */
import { openStore, Registry } from "../../src/index.ts";

const [path = "", reference = ""] = process.argv.slice(2);
await using store = await openStore(path, { profile: "overlay" });
await using registry = new Registry({ store, plainHttp: true, credentials: "anonymous", hostDirectories: [] });
await using image = await registry.pull(reference);
process.stdout.write(`${JSON.stringify(image.stats)}\n`);
