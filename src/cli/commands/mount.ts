/** `shale mount`: an image as an overlay mount. */
import type { Command, Context, Line } from "../command.ts";
import { mountLease } from "../mount-lease.ts";
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
  summary: "Mounts an image: read-only, or with a directory for the changes.",
  arguments: [
    { name: "REFERENCE", completes: "reference" },
    { name: "TARGET", completes: "directory" },
  ],
  options: {
    ...COMMON,
    upper: { type: "string", argument: "DIR", completes: "directory", help: "where changes go; without it the mount is read-only" },
    work: { type: "string", argument: "DIR", completes: "directory", help: "with --upper: an empty directory on the same file system" },
    "read-only": { type: "boolean", help: "with --upper: show its changes, take none" },
    nosuid: { type: "boolean", help: "setuid bits and file capabilities do not count" },
    nodev: { type: "boolean", help: "devices do not open" },
    noexec: { type: "boolean", help: "programs do not run" },
    index: { type: "boolean", help: "keep the identity of hard links when they are copied up" },
    volatile: { type: "boolean", help: "with --upper: never sync; what is in it is lost if the machine crashes" },
    "no-lease": { type: "boolean", help: "leave it to the mount alone to keep the image" },
    ...PLATFORM,
    ...PROFILE,
  },
  notes: [
    "It needs the right to mount: root, or root of a user namespace with --profile userxattr. Layer directories that are not there yet are made. The image has to be in the store.",
    "A lease with the name mount:TARGET keeps the image until shale umount TARGET, also after a reboot.",
  ],
  json: "{ reference, manifestDigest, target, lease }",
  examples: [
    ["shale mount alpine:3.20 /mnt", "read-only"],
    ["shale mount --upper /srv/up --work /srv/work alpine:3.20 /mnt", "with changes in /srv/up"],
  ],
  run: mount,
};

async function mount(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", target = ""] = args;
  const [upper, work] = [text(values, "upper"), text(values, "work")];
  if ((upper === undefined) !== (work === undefined)) throw new UsageError("--upper and --work go together; give both, or none");
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context, materialize: "eager" });
  const { mountOverlay } = await context.loadApi();
  context.signal.throwIfAborted();
  const mounted = await mountOverlay(image, target, {
    upper,
    work,
    readOnly: upper === undefined || flag(values, "read-only"),
    nosuid: flag(values, "nosuid"),
    nodev: flag(values, "nodev"),
    noexec: flag(values, "noexec"),
    index: flag(values, "index"),
    volatile: flag(values, "volatile"),
  });
  const lease = flag(values, "no-lease") ? undefined : mountLease(mounted.target);
  try {
    if (lease !== undefined) await store.lease(lease, image);
  } catch (error) {
    await mounted.unmount();
    throw error;
  }
  const { manifestDigest } = image;
  if (reporter.json)
    return await print(context, `${showJson({ reference: image.reference, manifestDigest, target: mounted.target, lease })}\n`);
  return await print(context, `${showMessage(mounted.target)}\n`);
}
