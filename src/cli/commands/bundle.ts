/** `shale bundle`: an OCI runtime bundle of an image. */
import type { BundleOptions } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM, PROFILE } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showJson, showMessage } from "../show.ts";
import { flag, list, text } from "../values.ts";

export const bundleCommand: Command = {
  name: "bundle",
  summary: "Makes an OCI runtime bundle of an image, which crun or runc run.",
  arguments: [
    { name: "REFERENCE", completes: "reference" },
    { name: "DIR", completes: "directory" },
    { name: "ARG", optional: true, repeated: true },
  ],
  options: {
    ...COMMON,
    rootfs: {
      type: "string",
      argument: "FORM",
      choices: ["copy", "link", "none"],
      help: "how the root file system is made (default copy)",
    },
    "read-only": { type: "boolean", help: "the root file system cannot be written (always with --rootfs link)" },
    rootless: { type: "boolean", help: "a user namespace, for a runtime that is not root's (default unless this is root)" },
    user: { type: "string", argument: "USER[:GROUP]", help: "in place of the image's" },
    env: { type: "string", argument: "NAME=VALUE", multiple: true, help: "beside the image's, or in its place; may be repeated" },
    cwd: { type: "string", argument: "DIR", help: "working directory, in place of the image's" },
    entrypoint: { type: "string", argument: "PROGRAM", help: "in place of the image's; its command is dropped" },
    hostname: { type: "string", argument: "NAME", help: "of the container (default shale)" },
    terminal: { type: "boolean", help: "the program gets a terminal" },
    network: { type: "string", argument: "KIND", choices: ["none", "host"], help: "namespace of its own, or the runtime's (default none)" },
    volumes: { type: "string", argument: "FORM", choices: ["tmpfs", "rootfs"], help: "where the image's volumes are (default tmpfs)" },
    ...PLATFORM,
    ...PROFILE,
  },
  notes: [
    "DIR is new or empty, and appears when it is complete. ARGs take the place of the image's command; put -- before them if they begin with a dash. Users and groups are looked up in the image, never on this machine.",
    "copy: files of the bundle's own. link: hard links into the store, which must never be written, so the root is read-only. none: an empty directory, to mount something on (shale mount).",
  ],
  json: "{ reference, manifestDigest, path, user: { uid, gid, additionalGids }, omittedLabels }",
  examples: [
    ["shale bundle alpine:3.20 ./box && crun run --bundle ./box box-1", "what the image says, in a container"],
    ["shale bundle --rootfs link --env DEBUG=1 alpine:3.20 ./box -- echo hello", "another command, no copy"],
  ],
  run: bundle,
};

async function bundle(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", directory = "", ...command] = args;
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context });
  const { makeBundle } = await context.loadApi();
  const entrypoint = text(values, "entrypoint");
  const made = await makeBundle(image, directory, {
    rootfs: text(values, "rootfs") as BundleOptions["rootfs"],
    readOnly: flag(values, "read-only"),
    rootless: flag(values, "rootless") || undefined,
    args: command.length > 0 ? command : undefined,
    entrypoint: entrypoint === undefined ? undefined : [entrypoint],
    env: list(values, "env"),
    cwd: text(values, "cwd"),
    user: text(values, "user"),
    hostname: text(values, "hostname"),
    terminal: flag(values, "terminal"),
    network: text(values, "network") as BundleOptions["network"],
    volumes: text(values, "volumes") as BundleOptions["volumes"],
    signal: context.signal,
  });
  const { path, user, omittedLabels } = made;
  const { manifestDigest } = image;
  if (reporter.json)
    return await print(context, `${showJson({ reference: image.reference, manifestDigest, path, user, omittedLabels })}\n`);
  for (const label of omittedLabels) reporter.note(`left out: the label ${showMessage(JSON.stringify(label))}, which a runtime would obey`);
  return await print(context, `${showMessage(path)}\n`);
}
