/** `shale inspect`: what the store knows of an image. */
import type { Image } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM, PROFILE } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { escapeJson, showJson } from "../show.ts";
import { flag } from "../values.ts";

export const inspectCommand: Command = {
  name: "inspect",
  summary: "Shows digests, config and layers of an image, and what keeps it.",
  arguments: [{ name: "REFERENCE", completes: "reference" }],
  options: {
    ...COMMON,
    raw: { type: "boolean", help: "the manifest as the registry gave it, byte for byte" },
    config: { type: "boolean", help: "the image config alone; with --raw as the registry gave it" },
    ...PLATFORM,
    ...PROFILE,
  },
  conflicts: [
    ["raw", "json"],
    ["raw", "quiet"],
  ],
  notes: [
    "--raw is what the digest is of: shale inspect --raw IMAGE | sha256sum gives that of the manifest, with --config that of the config. Of an image index it is the manifest of the platform. On a terminal what could steer it is escaped.",
    "It is JSON: on one line with --json, else indented. Layers are bottom to top; size is that of the compressed blob, tree the directory, which is there once the image is materialized. With --quiet only the digest of the manifest is printed.",
  ],
  json: "{ reference, manifestDigest, configDigest, profile, config, layers: [{ diffId, digest, mediaType, size, tree }], reasons, lastUse }; with --config its config",
  examples: [
    ["shale inspect alpine:3.20", "for people"],
    ["shale inspect --json alpine:3.20", "for a program"],
    ["shale inspect --raw alpine:3.20", "the manifest itself"],
  ],
  run: inspect,
};

async function inspect(line: Line, context: Context): Promise<void> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  // before the image is taken: that would be its last use
  const stored = await store.images();
  await using image = await openImage(store, line.args[0] ?? "", { line, context });
  if (flag(line.values, "raw")) return await print(context, await rawDocument(image, line, context));
  const { reference, manifestDigest, profile, config } = image;
  const indent = reporter.json ? undefined : 2;
  if (flag(line.values, "config")) return await print(context, `${showJson(config, indent)}\n`);
  if (reporter.quiet && !reporter.json) return await print(context, `${manifestDigest}\n`);
  const known = stored.find((one) => one.manifestDigest === manifestDigest);
  const layers = (known?.layers ?? []).map(({ diffId, digest, mediaType, size }, index) => {
    return { diffId, digest, mediaType, size, tree: image.layers[index] };
  });
  const { configDigest, reasons, lastUse } = known ?? {};
  const shown = { reference, manifestDigest, configDigest, profile, config, layers, reasons, lastUse };
  return await print(context, `${showJson(shown, indent)}\n`);
}

/** For a pipe every byte; a terminal gets the same JSON, with what could steer it as escapes. */
async function rawDocument(image: Image, { values }: Line, { stdout }: Context): Promise<string | Uint8Array> {
  const bytes = await (flag(values, "config") ? image.readConfig() : image.readManifest());
  return stdout.isTTY === true ? escapeJson(bytes.toString("utf8")) : bytes;
}
