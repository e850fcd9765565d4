/** `shale export`: an image of the store for other tools. */
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
  summary: "Writes an image of the store to an OCI image layout or an archive, for other tools.",
  arguments: [{ name: "REFERENCE", completes: "reference" }, { name: "DEST" }],
  options: {
    ...COMMON,
    compression: { type: "string", argument: "FORM", choices: FORMS, help: "of the layers (default keep)" },
    ...PLATFORM,
  },
  notes: [
    "DEST is oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]; the file - is standard output. A layout that is there gets the image beside those it has, in place of what bears the tag; a file that is there is replaced. Either changes when all is written, and stays as it was if this fails.",
    "Layers are rebuilt byte for byte, so diff IDs and the config stay. keep writes each blob as it was pulled, if the store has it (--keep-blobs) or it was not compressed, else gzip; where a blob differs from the one that was pulled, so does the manifest's digest, and this is said. A Docker archive has plain layers and no manifest.",
  ],
  json: "{ reference, destination, manifestDigest, sameManifest, layers: [{ diffId, digest, size }] }",
  examples: [
    ["shale export alpine:3.20 oci:/srv/images:alpine", "into an OCI image layout, as alpine"],
    ["shale export alpine:3.20 docker-archive:- | docker load", "to a Docker daemon"],
    ["shale export --compression zstd alpine:3.20 oci-archive:alpine.tar", "one file to carry elsewhere"],
  ],
  run: exportRun,
};

async function exportRun(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", destination = ""] = args;
  const reporter = new Reporter(line, context);
  const toOutput = /^(?:oci|docker)-archive:-(?::|$)/.test(destination);
  if (toOutput && reporter.json) throw new UsageError("--json has no place to go: standard output is the archive");
  if (toOutput && context.stdout.isTTY === true) throw new UsageError("an archive is not written to a terminal; redirect standard output");
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
    reporter.note(`the manifest is a new one, since layers were compressed anew; the one that was pulled is ${image.manifestDigest}`);
  }
  return toOutput
    ? undefined
    : await print(context, `${showMessage(destination)}${manifestDigest === undefined ? "" : ` ${manifestDigest}`}\n`);
}
