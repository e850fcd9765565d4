/** `shale bundle`: creates an OCI runtime bundle from an image. */
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
  summary: "Create an OCI runtime bundle from an image, for crun or runc.",
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
      help: "how to create the root file system (default copy)",
    },
    "read-only": { type: "boolean", help: "make the root file system read-only (always so with --rootfs link)" },
    rootless: { type: "boolean", help: "use a user namespace, for a runtime without root (default unless run by root)" },
    user: { type: "string", argument: "USER[:GROUP]", help: "user instead of the image's" },
    env: { type: "string", argument: "NAME=VALUE", multiple: true, help: "add or replace an environment variable; may be repeated" },
    cwd: { type: "string", argument: "DIR", help: "working directory instead of the image's" },
    entrypoint: { type: "string", argument: "PROGRAM", help: "entrypoint instead of the image's, whose command is dropped, too" },
    hostname: { type: "string", argument: "NAME", help: "hostname of the container (default shale)" },
    terminal: { type: "boolean", help: "run the program in a terminal" },
    network: {
      type: "string",
      argument: "KIND",
      choices: ["none", "host"],
      help: "none: a network namespace of its own; host: the runtime's network (default none)",
    },
    volumes: { type: "string", argument: "FORM", choices: ["tmpfs", "rootfs"], help: "where to put the image's volumes (default tmpfs)" },
    ...PLATFORM,
    ...PROFILE,
  },
  notes: [
    "DIR must be new or empty; it appears only when it is complete. ARGs replace the image's command; put -- before them if one starts with a dash. Users and groups are looked up in the image, never on this machine.",
    "--rootfs copy: separate files. link: hard links into the store, which must never be written, so the root is read-only. none: an empty directory, to mount something on (shale mount).",
  ],
  json: "{ reference, manifestDigest, path, user: { uid, gid, additionalGids }, omittedLabels }",
  examples: [
    ["shale bundle alpine:3.20 ./box && crun run --bundle ./box box-1", "run the image's program in a container"],
    ["shale bundle --rootfs link --env DEBUG=1 alpine:3.20 ./box -- echo hello", "run another command, without copying files"],
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
  for (const label of omittedLabels)
    reporter.note(`omitted label ${showMessage(JSON.stringify(label))}: as an annotation it would control the runtime`);
  return await print(context, `${showMessage(path)}\n`);
}
