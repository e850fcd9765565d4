/** Resolves paths inside an image: symlinks are followed within the image, never on the host; `..` stops at its root. */
import { showBytes, type ByteString } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../store/profile.ts";
import type { MergedNode, MergedView } from "./merged-view.ts";

/** The kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;
/** Maximum number of names to which symlinks may expand a path: 40 targets of 4095 bytes have at most 2048 names each. */
const MAX_NAMES = 100_000;

/**
 * The node at a path; relative paths start at the root. A symlink at the end is followed with `follow`, or if a slash follows it.
 * @throws PATH_NOT_FOUND, PATH_WRONG_KIND if a name before the last is not a directory, PATH_LOOP
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
    if (!next) throw new ShaleError("PATH_NOT_FOUND", `the image has no file ${quote(path)}`, { path: shown(path) });
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
