/** `shale rootfs`: creates the merged root file system of an image in a directory. */
import type { RootfsMode } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM, PROFILE } from "../options.ts";
import { print } from "../print.ts";
import { StatusLine } from "../progress/status-line.ts";
import { Reporter } from "../reporter.ts";
import { showCount, showDuration, showJson, showMessage, showNumber } from "../show.ts";
import { flag, text } from "../values.ts";
import { UsageError } from "../usage-error.ts";

const MODES = ["link", "reflink", "copy"] as const satisfies readonly RootfsMode[];

export const rootfsCommand: Command = {
  name: "rootfs",
  summary: "Create the merged root file system of an image in a new or empty directory.",
  arguments: [
    { name: "REFERENCE", completes: "reference" },
    { name: "DEST", completes: "directory" },
  ],
  options: {
    ...COMMON,
    mode: { type: "string", argument: "MODE", choices: MODES, help: "how files get their content (default copy)" },
    fallback: { type: "boolean", help: "with --mode reflink: copy files that cannot be reflinked, instead of failing" },
    ...PLATFORM,
    ...PROFILE,
  },
  notes: [
    "link: hard links into the store, which take little time and no space. Never write to them: images share these files. reflink: separate files that share disk blocks until they are written (btrfs, XFS). copy: separate files, on any file system.",
    "DEST appears only when it is complete; a failure or an interruption leaves nothing behind. The image must be in the store.",
  ],
  json: "{ reference, manifestDigest, path, mode, entries, linked, reflinked, copied }",
  examples: [
    ["shale rootfs --mode copy alpine:3.20 /srv/alpine", "create a writable directory"],
    ["shale rootfs --mode reflink --fallback alpine:3.20 ./root", "share disk blocks if the file system supports it"],
  ],
  run: rootfs,
};

async function rootfs(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", destination = ""] = args;
  const mode = (text(values, "mode") as RootfsMode | undefined) ?? "copy";
  if (flag(values, "fallback") && mode !== "reflink") throw new UsageError("--fallback requires --mode reflink");
  const started = performance.now();
  const reporter = new Reporter(line, context);
  using status = new StatusLine(context, reporter);
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context });
  const { materializeRootfs } = await context.loadApi();
  const made = await materializeRootfs(image, destination, {
    mode,
    fallback: flag(values, "fallback") ? "copy" : undefined,
    signal: context.signal,
    onProgress: ({ entries, total }) => status.show(`creating ${showNumber(entries)} of ${showCount(total, "entry")}`),
  });
  status.clear();
  if (reporter.json)
    return await print(context, `${showJson({ reference: image.reference, manifestDigest: image.manifestDigest, mode, ...made })}\n`);
  const files = (["linked", "reflinked", "copied"] as const).filter((how) => made[how] > 0);
  const counts = [showCount(made.entries, "entry"), ...files.map((how) => `${showCount(made[how], "file")} ${how}`)];
  reporter.note(`${counts.join(", ")}, ${showDuration(performance.now() - started)}`);
  return await print(context, `${showMessage(made.path)}\n`);
}
