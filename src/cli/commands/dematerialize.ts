/** `shale dematerialize`: deletes layer directories, which can be created again. */
import type { TreeInUse } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { missing } from "../open-image.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showReason } from "../show-reason.ts";
import { showCount, showJson, showMessage } from "../show.ts";
import { text } from "../values.ts";

export const dematerializeCommand: Command = {
  name: "dematerialize",
  summary: "Delete the layer directories of images; the layers stay in the store.",
  arguments: [{ name: "REFERENCE", repeated: true, completes: "reference" }],
  options: { ...COMMON, ...PLATFORM },
  notes: [
    "Directories in use are kept, and reported. The next pull, mount or shale materialize creates them again. shale gc --trees does this for all images.",
  ],
  json: "{ images: [{ reference, trees: [tree id], inUse: [{ treeId, reason }] } or { reference, error: { code, message } }] }",
  examples: [["shale dematerialize alpine:3.20", "shale ls and shale cat still work"]],
  run: dematerialize,
};

async function dematerialize(line: Line, context: Context): Promise<number> {
  const platform = text(line.values, "platform");
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const images: object[] = [];
  let exitCode = 0;
  for (const reference of new Set(line.args)) {
    try {
      const dropped =
        (await store.dematerialize(reference, { platform, signal: context.signal })) ?? (await missing(store, reference, platform));
      images.push({ reference, ...dropped });
      if (reporter.json) continue;
      await print(context, `${showMessage(reference)}: deleted ${showCount(dropped.trees.length, "tree")}\n`);
      noteInUse(dropped.inUse, reporter, context);
    } catch (error) {
      const failure = reporter.fail(error, reference);
      exitCode ||= failure.exitCode;
      images.push({ reference, error: failure.error });
    }
  }
  if (reporter.json) await print(context, `${showJson({ images })}\n`);
  return exitCode;
}

/** Reports the trees that were kept, and why. */
export function noteInUse(inUse: readonly TreeInUse[], reporter: Reporter, context: Context): void {
  const now = (context.now ?? Date.now)();
  for (const { treeId, reason } of inUse) reporter.note(`tree ${treeId} is in use: ${showReason(reason, now)}`);
}
