/**
 * A program that tests run as an ordinary user: pulls an image into a new store, as that user would, and makes its root file system:
 * pull-as-user.js REFERENCE DIRECTORY; prints what came of it as JSON.
 */
import { join } from "node:path";
import { materializeRootfs, openStore, overlayOptions, Registry } from "../../src/index.ts";

export interface PulledAsUser {
  readonly profile: string;
  readonly layers: readonly string[];
  readonly options: string;
  /** The merged root file system. */
  readonly rootfs: string;
}

const [reference = "", directory = ""] = process.argv.slice(2);
await using store = await openStore(join(directory, "store"));
await using registry = new Registry({ store, plainHttp: true });
await using image = await registry.pull(reference);
const { path: rootfs } = await materializeRootfs(image, join(directory, "rootfs"), { mode: "link" });
const result: PulledAsUser = { profile: image.profile, layers: image.layers, options: overlayOptions(image), rootfs };
process.stdout.write(JSON.stringify(result));
