/** Paths inside an image: symlinks are followed within it, never on the host; `..` ends at its root. */
import { showBytes, type ByteString } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../store/profile.ts";
import type { MergedNode, MergedView } from "./merged-view.ts";

/** As the kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;
/** What a path may grow to by symlinks, in names: each of 40 targets of 4095 bytes has at most 2048. */
const MAX_NAMES = 100_000;

/**
 * The node that a path leads to; relative paths begin at the root. A symlink at the end is followed if `follow` says so, or if a
 * slash comes after it.
 * @throws PATH_NOT_FOUND, PATH_WRONG_KIND when something on the way is no directory, PATH_LOOP
 */
export function resolvePath(view: MergedView, path: ByteString, { follow }: { follow: boolean }): MergedNode {
  const stack: MergedNode[] = [view.root];
  const todo = splitReversed(path);
  let symlinks = 0;
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    const here = stack.at(-1)!;
    if (kindOf(view, here) !== S_IFDIR) throw wrongKind(path, "directory", "leads through a file that is no directory");
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (stack.length > 1) stack.pop();
      continue;
    }
    const next = view.child(here, name as ByteString);
    if (!next) throw new ShaleError("PATH_NOT_FOUND", `the image has no ${quote(path)}`, { path: shown(path) });
    if (kindOf(view, next) === S_IFLNK && (follow || todo.length > 0)) {
      const target = view.sidecars[next.layer]!.target(next.entry);
      if (++symlinks > MAX_SYMLINKS || todo.length > MAX_NAMES) throw loop(path);
      if (target.startsWith("/")) stack.length = 1;
      todo.push(...splitReversed(target));
    } else stack.push(next);
  }
  return stack.at(-1)!;
}

/** S_IFMT bits of a node. */
function kindOf(view: MergedView, { layer, entry }: MergedNode): number {
  return view.sidecars[layer]!.mode(entry) & S_IFMT;
}

/** `why` completes "the image's path ... ". */
export function wrongKind(path: ByteString, kind: string, why: string): ShaleError<"PATH_WRONG_KIND"> {
  return new ShaleError("PATH_WRONG_KIND", `the image's path ${quote(path)} ${why}`, { path: shown(path), kind });
}

function loop(path: ByteString): ShaleError<"PATH_LOOP"> {
  return new ShaleError("PATH_LOOP", `the image's path ${quote(path)} leads through too many symlinks`, { path: shown(path) });
}

function splitReversed(path: string): string[] {
  return path.split("/").reverse();
}

function quote(path: ByteString): string {
  return `"${shown(path)}"`;
}

function shown(path: ByteString): string {
  return showBytes(path, 300);
}
