/** `shale cat`: writes the content of files inside an image. */
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { ESCAPED, jsonBytes, pathBytes, typedPath } from "../paths.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showJson } from "../show.ts";
import { amount } from "../values.ts";

export const catCommand: Command = {
  name: "cat",
  summary: "Print files inside an image, without materializing it.",
  arguments: [
    { name: "REFERENCE", completes: "reference" },
    { name: "PATH", repeated: true },
  ],
  options: {
    ...COMMON,
    offset: { type: "size", argument: "SIZE", help: "skip the first SIZE bytes of each file" },
    length: { type: "size", argument: "SIZE", help: "print at most SIZE bytes of each file" },
    ...ESCAPED,
    ...PLATFORM,
  },
  notes: ["Symlinks are followed inside the image. Content is never escaped, even on a terminal."],
  json: "{ reference, files: [{ path, content }] }, the content in base64; files are held in memory",
  examples: [
    ["shale cat alpine:3.20 /etc/os-release", "print a file"],
    ["shale cat --length 4 alpine:3.20 /bin/busybox", "print the first 4 bytes of a file"],
  ],
  run: cat,
};

async function cat(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", ...typed] = args;
  const reporter = new Reporter(line, context);
  const paths = typed.map((path) => typedPath(path, line));
  const start = amount(values, "offset") ?? 0;
  const length = amount(values, "length");
  const range = { start, end: length === undefined ? undefined : start + length - 1 };
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context });
  const files: unknown[] = [];
  for (const path of paths) {
    const pieces: Buffer[] = [];
    // an empty range has no last byte
    const content = length === 0 ? [] : (image.createReadStream(path, range) as AsyncIterable<Buffer>);
    if (length === 0) await image.stat(path);
    for await (const piece of content) {
      if (reporter.json) pieces.push(piece);
      else await print(context, piece);
    }
    if (reporter.json) files.push({ path: jsonBytes(pathBytes(path)), content: Buffer.concat(pieces).toString("base64") });
  }
  if (reporter.json) await print(context, `${showJson({ reference: image.reference, files })}\n`);
}
