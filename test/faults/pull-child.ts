/** `pull-child.js STORE REFERENCE` pulls an image over plain HTTP. It is a separate process so that a test can kill it. */
import { openStore, Registry } from "../../src/index.ts";

const [path = "", reference = ""] = process.argv.slice(2);
await using store = await openStore(path, { profile: "overlay" });
await using registry = new Registry({ store, plainHttp: true, credentials: "anonymous", hostDirectories: [] });
await using image = await registry.pull(reference);
process.stdout.write(`${JSON.stringify(image.stats)}\n`);
