/** `shale mount`: mounts an image by overlayfs. */
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM, PROFILE } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showJson, showMessage } from "../show.ts";
import { UsageError } from "../usage-error.ts";
import { flag, text } from "../values.ts";

export const mountCommand: Command = {
  name: "mount",
  summary: "Mount an image: read-only, or with a directory for changes.",
  arguments: [
    { name: "REFERENCE", completes: "reference" },
    { name: "TARGET", completes: "directory" },
  ],
  options: {
    ...COMMON,
    upper: { type: "string", argument: "DIR", completes: "directory", help: "write changes to DIR; without it, the mount is read-only" },
    work: { type: "string", argument: "DIR", completes: "directory", help: "with --upper: empty directory on the same file system" },
    "read-only": { type: "boolean", help: "with --upper: show its changes, allow no new ones" },
    nosuid: { type: "boolean", help: "ignore setuid bits and file capabilities" },
    nodev: { type: "boolean", help: "deny opening devices" },
    noexec: { type: "boolean", help: "deny running programs" },
    index: { type: "boolean", help: "keep hard links together when they are copied up" },
    volatile: { type: "boolean", help: "with --upper: never sync; a crash of the machine loses all changes" },
    "no-lease": { type: "boolean", help: "take no lease: only the mount keeps the image" },
    ...PLATFORM,
    ...PROFILE,
  },
  notes: [
    "Requires the right to mount: root, or root of a user namespace with --profile userxattr. Missing layer directories are created. The image must be in the store.",
    "A lease named mount:TARGET keeps the image until shale umount TARGET, even after a reboot.",
  ],
  json: "{ reference, manifestDigest, target, lease }",
  examples: [
    ["shale mount alpine:3.20 /mnt", "read-only"],
    ["shale mount --upper /srv/up --work /srv/work alpine:3.20 /mnt", "write changes to /srv/up"],
  ],
  run: mount,
};

async function mount(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", target = ""] = args;
  const [upper, work] = [text(values, "upper"), text(values, "work")];
  if ((upper === undefined) !== (work === undefined))
    throw new UsageError("--upper and --work must be used together; give both, or neither");
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context, materialize: "eager" });
  const { mountImage, mountOverlay } = await context.loadApi();
  context.signal.throwIfAborted();
  const options = {
    upper,
    work,
    readOnly: upper === undefined || flag(values, "read-only"),
    nosuid: flag(values, "nosuid"),
    nodev: flag(values, "nodev"),
    noexec: flag(values, "noexec"),
    index: flag(values, "index"),
    volatile: flag(values, "volatile"),
  };
  const mounted = flag(values, "no-lease")
    ? { target: (await mountOverlay(image, target, options)).target }
    : await mountImage(store, image, target, options);
  const { manifestDigest } = image;
  if (reporter.json) return await print(context, `${showJson({ reference: image.reference, manifestDigest, ...mounted })}\n`);
  return await print(context, `${showMessage(mounted.target)}\n`);
}
