/** `shale export`: writes an image from the store for other tools. */
import type { Command, Context, Line } from "../command.ts";
import type { ExportImageOptions } from "../../index.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showCount, showDuration, showJson, showMessage, showSize } from "../show.ts";
import { UsageError } from "../usage-error.ts";
import { text } from "../values.ts";

const FORMS = ["keep", "none", "gzip", "zstd"] as const;

export const exportCommand: Command = {
  name: "export",
  summary: "Export an image from the store to an OCI image layout or an archive.",
  arguments: [{ name: "REFERENCE", completes: "reference" }, { name: "DEST" }],
  options: {
    ...COMMON,
    compression: { type: "string", argument: "FORM", choices: FORMS, help: "compression of the layers (default keep: unchanged)" },
    ...PLATFORM,
  },
  notes: [
    "DEST is oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]; FILE - is standard output. An existing layout keeps its other images; the image replaces one with the same tag. An existing file is replaced. Layout and file change only when everything is written, and stay unchanged if the export fails.",
    "Layers are rebuilt byte for byte, so diff IDs and the config stay the same. keep writes each blob as it was pulled if the store has it (--keep-blobs) or if it was uncompressed; else it writes gzip. If a blob differs from the pulled one, the manifest digest changes, too; this is reported. A Docker archive contains uncompressed layers and no manifest.",
  ],
  json: "{ reference, destination, manifestDigest, sameManifest, layers: [{ diffId, digest, size }] }",
  examples: [
    ["shale export alpine:3.20 oci:/srv/images:alpine", "into an OCI image layout, with the tag alpine"],
    ["shale export alpine:3.20 docker-archive:- | docker load", "into a Docker daemon"],
    ["shale export --compression zstd alpine:3.20 oci-archive:alpine.tar", "into one file"],
  ],
  run: exportRun,
};

async function exportRun(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", destination = ""] = args;
  const reporter = new Reporter(line, context);
  const toOutput = /^(?:oci|docker)-archive:-(?::|$)/.test(destination);
  if (toOutput && reporter.json) throw new UsageError("--json cannot be used: the archive goes to standard output; write it to a file");
  if (toOutput && context.stdout.isTTY === true)
    throw new UsageError("refusing to write an archive to a terminal; redirect standard output");
  const started = performance.now();
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context });
  const { exportImage } = await context.loadApi();
  const compression = text(values, "compression") as ExportImageOptions["compression"];
  const result = await exportImage(image, destination, { compression, signal: context.signal });
  if (reporter.json) return await print(context, `${showJson({ reference: image.reference, destination, ...result })}\n`);
  const { manifestDigest, sameManifest, layers } = result;
  const bytes = [...new Map(layers.map(({ digest, size }) => [digest, size])).values()].reduce((sum, size) => sum + size, 0);
  reporter.note(`${showCount(layers.length, "layer")}, ${showSize(bytes)}, ${showDuration(performance.now() - started)}`);
  if (manifestDigest !== undefined && !sameManifest) {
    reporter.note(`the manifest digest changed, because layers were compressed again; the pulled manifest is ${image.manifestDigest}`);
  }
  return toOutput
    ? undefined
    : await print(context, `${showMessage(destination)}${manifestDigest === undefined ? "" : ` ${manifestDigest}`}\n`);
}
