/**
 * Runs the program of an image, or another command, in a bubblewrap sandbox with a read-only root. Needs no privileges. The image must
 * have the directories /proc, /dev and /tmp, as nearly all images do.
 *
 *     node examples/boot-bubblewrap.mjs [--store DIR] [--plain-http] REFERENCE [-- COMMAND...]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { materializeRootfs, openStore, Registry } from "shale";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { store: { type: "string", default: "store" }, "plain-http": { type: "boolean", default: false } },
});
const [reference, ...command] = positionals;
if (reference === undefined) throw new TypeError("give the reference of an image");

// hard links need the file system of the store
const scratch = await mkdtemp(join(dirname(resolve(values.store)), "sandbox-"));
const store = await openStore(values.store);
const registry = new Registry({ store, plainHttp: values["plain-http"] });
try {
  const image = await registry.pull(reference, { materialize: "lazy" });
  // the files of the root are shared with other images: it must be mounted read-only
  const root = await materializeRootfs(image, join(scratch, "root"), { mode: "link" });
  const sandbox = spawn("bwrap", bubblewrapArguments(image.config, root.path), {
    // the sandbox inherits the lease: the image stays in the store until the sandbox exits, even if this program is killed
    stdio: ["inherit", "inherit", "inherit", image.leaseFd],
  });
  await image.close();
  await once(sandbox, "exit");
  process.exitCode = sandbox.exitCode ?? 1;
} finally {
  await registry.close();
  await store.close();
  await rm(scratch, { recursive: true, force: true });
}

/**
 * @param {import("shale").ImageConfig} config
 * @param {string} root
 */
function bubblewrapArguments({ entrypoint, cmd, env, workingDir }, root) {
  const mounts = ["--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"];
  const isolation = ["--unshare-all", "--die-with-parent", "--clearenv"];
  const variables = env.flatMap((text) => ["--setenv", text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]);
  const program = command.length > 0 ? command : [...entrypoint, ...cmd];
  return [...mounts, ...isolation, ...variables, "--chdir", workingDir || "/", "--", ...program];
}
