/** `shale inspect`: what the store knows of an image. */
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM, PROFILE } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showJson } from "../show.ts";

export const inspectCommand: Command = {
  name: "inspect",
  summary: "Shows digests, config and layers of an image, and what keeps it.",
  arguments: [{ name: "REFERENCE", completes: "reference" }],
  options: { ...COMMON, ...PLATFORM, ...PROFILE },
  notes: [
    "It is JSON: on one line with --json, else indented. Layers are bottom to top; size is that of the compressed blob, tree the directory, which is there once the image is materialized. With --quiet only the digest of the manifest is printed.",
  ],
  json: "{ reference, manifestDigest, configDigest, profile, config, layers: [{ diffId, digest, mediaType, size, tree }], reasons, lastUse }",
  examples: [
    ["shale inspect alpine:3.20", "for people"],
    ["shale inspect --json alpine:3.20", "for a program"],
  ],
  run: inspect,
};

async function inspect(line: Line, context: Context): Promise<void> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  // before the image is taken: that would be its last use
  const stored = await store.images();
  await using image = await openImage(store, line.args[0] ?? "", { line, context });
  const { reference, manifestDigest, profile, config } = image;
  if (reporter.quiet && !reporter.json) return await print(context, `${manifestDigest}\n`);
  const known = stored.find((one) => one.manifestDigest === manifestDigest);
  const layers = (known?.layers ?? []).map(({ diffId, digest, mediaType, size }, index) => {
    return { diffId, digest, mediaType, size, tree: image.layers[index] };
  });
  const { configDigest, reasons, lastUse } = known ?? {};
  const shown = { reference, manifestDigest, configDigest, profile, config, layers, reasons, lastUse };
  return await print(context, `${showJson(shown, reporter.json ? undefined : 2)}\n`);
}
