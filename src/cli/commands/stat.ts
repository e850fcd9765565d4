/** `shale stat`: shows the attributes of a path inside an image. */
import { showBytes } from "../../bytes.ts";
import type { FileStat, Image } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { modeText, timeText } from "../mode-text.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { ESCAPED, jsonBytes, pathBytes, typedPath } from "../paths.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showJson, showSize } from "../show.ts";
import { flag } from "../values.ts";

export const statCommand: Command = {
  name: "stat",
  summary: "Show the attributes of a path inside an image, without materializing it.",
  arguments: [{ name: "REFERENCE", completes: "reference" }, { name: "PATH" }],
  options: {
    ...COMMON,
    follow: { type: "boolean", short: "L", help: "follow a symlink, and show its target" },
    ...ESCAPED,
    ...PLATFORM,
  },
  notes: [
    "Shows the attributes recorded in the image, whatever the profile of its layer directories. Two paths with the same inode are hard links to one file.",
  ],
  json: "{ reference, path, realpath, kind, mode, uid, gid, size, mtime, mtimeNs, deviceMajor, deviceMinor, inode, xattrs, target }; mode is st_mode, mtime is in seconds; a path, target or xattr value is text, or { hex } if it is not UTF-8",
  examples: [
    ["shale stat alpine:3.20 /etc/os-release", "show a file"],
    ["shale stat --json --follow alpine:3.20 /bin/sh", "the target of a symlink, as JSON"],
  ],
  run: stat,
};

async function stat(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const [reference = "", typed = ""] = args;
  const path = typedPath(typed, line);
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context });
  const found = flag(values, "follow") ? await image.stat(path) : await image.lstat(path);
  const target = found.kind === "symlink" ? await image.readlink(path) : undefined;
  const described = { path: pathBytes(path), found, target };
  if (reporter.json) return await print(context, `${showJson({ reference: image.reference, ...(await jsonOf(image, described)) })}\n`);
  return await print(context, textOf(described));
}

interface Described {
  readonly path: Uint8Array;
  readonly found: FileStat;
  readonly target: Uint8Array | undefined;
}

async function jsonOf(image: Image, { path, found, target }: Described): Promise<object> {
  const xattrs = Object.fromEntries([...found.xattrs].map(([name, value]) => [name, jsonBytes(value)]));
  const realpath = found.kind === "symlink" ? undefined : jsonBytes(await image.realpath(path));
  return { path: jsonBytes(path), realpath, ...found, xattrs, target: target && jsonBytes(target) };
}

function textOf({ path, found, target }: Described): string {
  const { kind, mode, uid, gid, size, mtime, mtimeNs, deviceMajor, deviceMinor, inode, xattrs } = found;
  const isDevice = kind === "char" || kind === "block";
  const rows: [string, string][] = [
    ["path", showBytes(path)],
    ...(target ? ([["target", showBytes(target)]] as [string, string][]) : []),
    ["kind", kind],
    ["mode", `${modeText(kind, mode)} (${(mode & 0o7777).toString(8).padStart(4, "0")})`],
    ["owner", `${uid}:${gid}`],
    isDevice ? ["device", `${deviceMajor}, ${deviceMinor}`] : ["size", size < 1000 ? `${size} B` : `${size} B (${showSize(size)})`],
    ["mtime", `${timeText(mtime)}.${String(mtimeNs).padStart(9, "0")} UTC`],
    ["inode", String(inode)],
    ...[...xattrs].map(([name, value]): [string, string] => ["xattr", `${showBytes(Buffer.from(name))}=${showBytes(value, 1024)}`]),
  ];
  return rows.map(([name, value]) => `${name.padEnd(6)}  ${value}\n`).join("");
}
