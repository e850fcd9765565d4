/** `shale ls`: lists a directory inside an image. */
import type { FileKind, FileStat, Image } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { modeText, timeText } from "../mode-text.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { ESCAPED, joinPath, jsonBytes, nameBytes, pathBytes, typedPath } from "../paths.ts";
import { print, printItems } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showBytesOf, showJson } from "../show.ts";
import { flag } from "../values.ts";

export const lsCommand: Command = {
  name: "ls",
  summary: "List files inside an image, without materializing it.",
  arguments: [
    { name: "REFERENCE", completes: "reference" },
    { name: "PATH", optional: true },
  ],
  options: {
    ...COMMON,
    long: { type: "boolean", short: "l", help: "show mode, owner, size, time (UTC) and link target" },
    recursive: { type: "boolean", short: "R", help: "list everything below PATH, as full paths" },
    directory: { type: "boolean", short: "d", help: "list the directory itself, not its contents" },
    bytes: { type: "boolean", help: "with --long: show sizes in bytes" },
    null: { type: "boolean", short: "0", help: "end each line with a NUL byte, for xargs -0; never escape names" },
    ...ESCAPED,
    ...PLATFORM,
  },
  notes: [
    "Shows the merged root file system, as a container sees it. Symlinks in PATH are followed inside the image. PATH defaults to /.",
    "On a terminal, control characters, backslashes and bytes that are not UTF-8 are shown as \\xNN or \\\\. Elsewhere, names are written unchanged.",
  ],
  json: "{ reference, path, entries: [{ path, kind, mode, uid, gid, size, mtime, mtimeNs, target }] }, one entry per line; a path is text, or { hex } if it is not UTF-8",
  examples: [
    ["shale ls alpine:3.20 /etc", "list names"],
    ["shale ls -lR alpine:3.20 /usr/lib", "list everything below a directory, with attributes"],
  ],
  run: ls,
};

interface Entry {
  /** The name, or with --recursive the path. */
  readonly shown: Uint8Array;
  readonly path: Uint8Array;
  readonly kind: FileKind;
}

async function ls(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", typed = "/"] = args;
  const path = typedPath(typed, line);
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context });
  const entries = await entriesOf(image, path, { itself: flag(values, "directory"), recursive: flag(values, "recursive") });
  if (reporter.json) {
    const items = async function* (): AsyncGenerator<string> {
      for await (const entry of entries) yield showJson(await describe(image, entry));
    };
    const before = `{"reference":${showJson(image.reference)},"path":${showJson(jsonBytes(pathBytes(path)))},"entries":[`;
    return await printItems(context, items(), { before, after: () => "]}" });
  }
  const end = flag(values, "null") ? "\0" : "\n";
  const name = (bytes: Uint8Array): Buffer => (flag(values, "null") ? Buffer.from(bytes) : nameBytes(bytes, context));
  for await (const entry of entries) {
    const text = flag(values, "long") ? await longLine(image, entry, { name, exact: flag(values, "bytes") }) : name(entry.shown);
    await print(context, Buffer.concat([text, Buffer.from(end)]));
  }
}

interface Asked {
  readonly itself: boolean;
  readonly recursive: boolean;
}

/** The entries to list. Fails before anything is written if the path is missing. */
async function entriesOf(image: Image, path: string | Uint8Array, { itself, recursive }: Asked): Promise<AsyncIterable<Entry>> {
  const bytes = pathBytes(path);
  // like ls: follows a symlink to a directory, except with --directory
  const { kind } = itself ? await image.lstat(path) : await image.stat(path);
  const listed = !itself && kind === "directory" ? await image.readdir(path) : undefined;
  return (async function* (): AsyncGenerator<Entry> {
    if (!listed) {
      yield { shown: bytes, path: bytes, kind: (await image.lstat(path)).kind };
      return;
    }
    const waiting = listed.toReversed().map((one) => ({ ...one, path: joinPath(bytes, one.bytes) }));
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const found = next;
      yield { shown: recursive ? found.path : found.bytes, path: found.path, kind: found.kind };
      if (!recursive || found.kind !== "directory") continue;
      const below = await image.readdir(found.path);
      for (const one of below.toReversed()) waiting.push({ ...one, path: joinPath(found.path, one.bytes) });
    }
  })();
}

async function longLine(
  image: Image,
  entry: Entry,
  { name, exact }: { readonly name: (bytes: Uint8Array) => Buffer; readonly exact: boolean },
): Promise<Buffer> {
  const stat = await image.lstat(entry.path);
  const owner = `${stat.uid}:${stat.gid}`;
  const head = [modeText(stat.kind, stat.mode), owner.padStart(11), sizeText(stat, exact).padStart(exact ? 12 : 7), timeText(stat.mtime)];
  const target = stat.kind === "symlink" ? [Buffer.from(" -> "), name(await image.readlink(entry.path))] : [];
  return Buffer.concat([Buffer.from(`${head.join(" ")} `), name(entry.shown), ...target]);
}

function sizeText({ kind, size, deviceMajor, deviceMinor }: FileStat, exact: boolean): string {
  return kind === "char" || kind === "block" ? `${deviceMajor}, ${deviceMinor}` : showBytesOf(size, exact);
}

async function describe(image: Image, { path }: Entry): Promise<unknown> {
  const { kind, mode, uid, gid, size, mtime, mtimeNs } = await image.lstat(path);
  const target = kind === "symlink" ? jsonBytes(await image.readlink(path)) : undefined;
  return { path: jsonBytes(path), kind, mode, uid, gid, size, mtime, mtimeNs, target };
}
