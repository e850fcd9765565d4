/** Files of this machine as entries of a layer. */
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { posix } from "node:path";
import type { TestEntry } from "../../src/testing/index.ts";

/** As many symlinks as the kernel follows on one path. */
const MAX_LINKS = 40;

/** The shared libraries that this process runs on and their loader, by the paths it knows them by. */
export function runningLibraries(): string[] {
  // else the report looks up the names of open connections; the types do not know it yet
  Object.assign(process.report, { excludeNetwork: true });
  const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] };
  // the kernel's own (linux-vdso.so.1) is no file; add-ons are not Node's
  return sharedObjects.filter((path) => path.startsWith("/") && !path.endsWith(".node"));
}

/** A file at the path it has here, behind every directory and symlink on the way: /lib may be one, libc.so.6 another. */
export function entriesOnTheWay(path: string, links = 0): TestEntry[] {
  if (links > MAX_LINKS) throw new Error(`${JSON.stringify(path)} goes through more than ${MAX_LINKS} symlinks`);
  const entries: TestEntry[] = [];
  const names = path.split("/").filter((name) => name !== "");
  for (let length = 1; length <= names.length; length++) {
    const here = `/${names.slice(0, length).join("/")}`;
    const stat = lstatSync(here);
    entries.push(entryOf(here, here, stat));
    if (!stat.isSymbolicLink()) continue;
    const target = posix.resolve(posix.dirname(here), readlinkSync(here));
    return [...entries, ...entriesOnTheWay(posix.join(target, ...names.slice(length)), links + 1)];
  }
  return entries;
}

/** One file of this machine at another path. */
export function fileEntry(source: string, path: string): TestEntry {
  return entryOf(source, path, lstatSync(source));
}

/** A directory with all below it, at another path. */
export function directoryEntries(source: string, path: string): TestEntry[] {
  const below = readdirSync(source, { withFileTypes: true }).flatMap((child) => {
    const [from, to] = [posix.join(source, child.name), posix.join(path, child.name)];
    if (child.isDirectory()) return directoryEntries(from, to);
    return child.isFile() || child.isSymbolicLink() ? [fileEntry(from, to)] : [];
  });
  return [{ path: path.slice(1), type: "directory" }, ...below];
}

/** The last entry of each path, in the place of the first. */
export function distinct(entries: readonly TestEntry[]): TestEntry[] {
  return [...new Map(entries.map((entry) => [entry.path, entry])).values()];
}

/** Owned by root, as in an image; directories are everyone's to enter. */
function entryOf(source: string, path: string, stat: Stats): TestEntry {
  const name = path.slice(1);
  const mtime = Math.floor(stat.mtimeMs / 1000);
  if (stat.isDirectory()) return { path: name, type: "directory" };
  if (stat.isSymbolicLink()) return { path: name, type: "symlink", target: readlinkSync(source), mtime };
  return { path: name, mode: (stat.mode & 0o755) | 0o444, mtime, content: readFileSync(source) };
}
