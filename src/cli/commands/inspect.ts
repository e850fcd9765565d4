/** `shale inspect`: shows what the store knows about an image. */
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
  summary: "Show the digests, config and layers of an image, and what keeps it.",
  arguments: [{ name: "REFERENCE", completes: "reference" }],
  options: {
    ...COMMON,
    raw: { type: "boolean", help: "print the manifest byte for byte, as the registry sent it" },
    config: { type: "boolean", help: "print only the image config; with --raw byte for byte" },
    ...PLATFORM,
    ...PROFILE,
  },
  conflicts: [
    ["raw", "json"],
    ["raw", "quiet"],
  ],
  notes: [
    "--raw prints the bytes that the digest covers: shale inspect --raw IMAGE | sha256sum gives the manifest digest, with --config the config digest. For an image index, it prints the manifest of the platform. On a terminal, control characters are escaped.",
    "The output is JSON: one line with --json, else indented. Layers are bottom to top; size is the size of the compressed layer, tree its directory, which exists once the image is materialized. With --quiet: only the manifest digest.",
  ],
  json: "{ reference, manifestDigest, configDigest, profile, config, layers: [{ diffId, digest, mediaType, size, tree }], reasons, lastUse }; with --config only the value of config",
  examples: [
    ["shale inspect alpine:3.20", "for people"],
    ["shale inspect --json alpine:3.20", "for a program"],
    ["shale inspect --raw alpine:3.20", "print the manifest"],
  ],
  run: inspect,
};

async function inspect(line: Line, context: Context): Promise<void> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  // before openImage(), which updates the time of last use
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

/** Unchanged bytes for a pipe; for a terminal the same JSON with control characters escaped. */
async function rawDocument(image: Image, { values }: Line, { stdout }: Context): Promise<string | Uint8Array> {
  const bytes = await (flag(values, "config") ? image.readConfig() : image.readManifest());
  return stdout.isTTY === true ? escapeJson(bytes.toString("utf8")) : bytes;
}
