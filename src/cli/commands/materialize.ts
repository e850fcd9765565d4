/** `shale materialize`: creates the layer directories of an image in the store. */
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM, PROFILE } from "../options.ts";
import { DeferredProgress } from "../progress/deferred-progress.ts";
import { Reporter } from "../reporter.ts";
import { renderPulled } from "./pull.ts";

export const materializeCommand: Command = {
  name: "materialize",
  summary: "Create the layer directories of an image in the store, and print their paths.",
  arguments: [{ name: "REFERENCE", completes: "reference" }],
  options: { ...COMMON, ...PLATFORM, ...PROFILE },
  notes: [
    "Existing directories are reused. No registry is contacted: the image must be in the store (shale pull --materialize lazy, shale prefetch).",
  ],
  json: "{ reference, manifestDigest, cached, layers, config, stats }, as for shale pull",
  examples: [
    ["shale materialize alpine:3.20", "in the store's default profile"],
    ["shale materialize --quiet --profile userxattr alpine:3.20", "for overlayfs in a user namespace; print only the directories"],
  ],
  run: materialize,
};

async function materialize(line: Line, context: Context): Promise<void> {
  const { signal, stdout } = context;
  const progress = new DeferredProgress(context, new Reporter(line, context));
  try {
    await using store = await openExistingStore(line, context, progress.onWarning);
    await using image = await openImage(store, line.args[0] ?? "", { line, context });
    await image.materialize({ signal, onProgress: progress.onEvent });
    await progress.stop();
    stdout.write(renderPulled(image, line));
  } finally {
    await progress.stop();
  }
}
