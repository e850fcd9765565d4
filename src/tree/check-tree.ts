/** Compares a tree on disk with its plan. Returns the differences; changes nothing and follows no symlink. */
import { lstatSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from "node:fs";
import { Flag } from "../../format/index.ts";
import { fromBytes, fsPath, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { chunkPath } from "../store/layout.ts";
import { S_IFCHR, S_IFLNK, S_IFMT, S_IFREG, type PhysicalAttributes } from "../store/profile.ts";
import { getPathXattr } from "../system/syscalls.ts";
import { overflowOrdinals } from "./linker.ts";
import type { LinkSource } from "./link-source.ts";
import type { LinkSourceTrust } from "./link-source-trust.ts";
import { OCI_OPAQUE, ociWhiteout, OPAQUE_XATTR, type TreePlan } from "./tree-plan.ts";

export interface TreeDifference {
  /** Path in the tree, as bytes; "" is the tree itself. */
  readonly path: ByteString;
  /** `inode`: a file with content that is not its link source. `extra`: a name that the layer lacks. */
  readonly kind: "missing" | "extra" | "type" | "mode" | "owner" | "size" | "mtime" | "inode" | "content" | "target" | "device" | "xattr";
  readonly expected: string;
  readonly found: string;
}

export interface CheckTreeOptions {
  /** Also compare extended attributes, with two more calls per attribute. Default false. */
  readonly xattrs?: boolean;
  /** Read files whose content a machine crash may have damaged. Default: read none. */
  readonly trust?: LinkSourceTrust | undefined;
}

/** Yields every difference in file order, then extra names. */
export function* checkTree(plan: TreePlan, options: CheckTreeOptions = {}): Generator<TreeDifference, void, undefined> {
  const expected = new Map<ByteString, Set<ByteString>>();
  for (let entry = 0; entry < plan.sidecar.live; entry++) {
    const own = plan.pathOf(entry);
    const path = plan.task.profile === "oci" && plan.flag(entry, Flag.whiteout) ? ociWhiteout(own) : own;
    if (entry > 0) note(expected, path);
    yield* checkEntry(plan, { entry, path }, options);
    if (!plan.flag(entry, Flag.opaque)) continue;
    if (plan.task.profile === "oci") note(expected, `${path}/${OCI_OPAQUE}` as ByteString);
    yield* checkOpaque(plan, path);
  }
  for (let entry = 0; entry < plan.sidecar.live; entry++) {
    if (!plan.sidecar.readdir(plan.sidecar.path(entry))) continue;
    const path = plan.pathOf(entry);
    yield* extras(plan, path, expected.get(path));
  }
}

interface EntryAt {
  readonly entry: number;
  readonly path: ByteString;
}

function* checkEntry(plan: TreePlan, { entry, path }: EntryAt, options: CheckTreeOptions): Generator<TreeDifference, void, undefined> {
  const stat = lstatSync(fsPath(path), { bigint: true, throwIfNoEntry: false });
  const differs = differ(plan, path);
  if (!stat) return yield differs("missing", "present", "absent");
  if (plan.flag(entry, Flag.whiteout)) {
    const type = plan.task.profile === "oci" ? S_IFREG : S_IFCHR;
    if ((Number(stat.mode) & S_IFMT) !== type || (type === S_IFCHR && stat.rdev !== 0n))
      yield differs("type", "a whiteout", octal(Number(stat.mode)));
    return;
  }
  const attributes = plan.attributes(entry);
  if ((Number(stat.mode) & S_IFMT) !== (attributes.mode & S_IFMT))
    return yield differs("type", octal(attributes.mode), octal(Number(stat.mode)));
  yield* checkAttributes(plan, { entry, path }, stat, attributes);
  yield* checkContent(plan, { entry, path }, { stat, trust: options.trust });
  if (options.xattrs) yield* checkXattrs(plan, path, attributes);
}

function* checkAttributes(
  plan: TreePlan,
  { entry, path }: EntryAt,
  stat: BigIntStats,
  attributes: PhysicalAttributes,
): Generator<TreeDifference, void, undefined> {
  const differs = differ(plan, path);
  const symlink = (attributes.mode & S_IFMT) === S_IFLNK;
  if (!symlink && Number(stat.mode) !== attributes.mode) yield differs("mode", octal(attributes.mode), octal(Number(stat.mode)));
  const [owner, found] = [`${attributes.uid}:${attributes.gid}`, `${stat.uid}:${stat.gid}`];
  if (owner !== found) yield differs("owner", owner, found);
  const { mtime, mtimeNs } = plan.time(entry);
  const expected = BigInt(mtime) * 1_000_000_000n + BigInt(mtimeNs);
  if (stat.mtimeNs !== expected) yield differs("mtime", String(expected), String(stat.mtimeNs));
}

function* checkContent(
  plan: TreePlan,
  { entry, path }: EntryAt,
  { stat, trust }: { readonly stat: BigIntStats; readonly trust: LinkSourceTrust | undefined },
): Generator<TreeDifference, void, undefined> {
  const differs = differ(plan, path);
  const type = Number(stat.mode) & S_IFMT;
  const target = plan.sidecar.target(entry) as ByteString;
  if (plan.isLinked(entry)) {
    const size = plan.sidecar.size(entry);
    if (Number(stat.size) !== size) yield differs("size", String(size), String(stat.size));
    const wanted = plan.linkSource(entry);
    const source = sourceOf(plan, wanted, stat);
    if (source === undefined) yield differs("inode", "the link source", `inode ${stat.ino}`);
    else if (trust?.isWhole(source, stat, wanted) === false) yield differs("content", "that of the chunk", "other bytes");
  } else if (type === S_IFLNK) {
    const found = fromBytes(readlinkSync(fsPath(path), "buffer"));
    if (found !== target) yield differs("target", target, found);
  } else if (type === S_IFREG) {
    if (Number(stat.size) !== target.length) yield differs("size", String(target.length), String(stat.size));
    else if (target.length > 0 && fromBytes(readFileSync(fsPath(path))) !== target) yield differs("target", target, "other bytes");
  } else if (plan.isSpecial(entry)) {
    const { rdevMajor, rdevMinor } = plan.sidecar.modeAt(plan.sidecar.modeRow(entry));
    const rdev = (BigInt(rdevMajor & 0xfff) << 8n) | BigInt(rdevMinor & 0xff) | (BigInt(rdevMinor & 0xfff00) << 12n);
    if (stat.rdev !== rdev) yield differs("device", `${rdevMajor}:${rdevMinor}`, String(stat.rdev));
  }
}

/** The link source that is the same inode; undefined if there is none. */
function sourceOf(plan: TreePlan, { inode, ordinal }: LinkSource, stat: BigIntStats): string | undefined {
  for (const candidate of overflowOrdinals(ordinal)) {
    const path = chunkPath(plan.task.chunks, inode, candidate);
    const source = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (!source) return undefined;
    if (source.ino === stat.ino && source.dev === stat.dev) return path;
  }
  return undefined;
}

function* checkOpaque(plan: TreePlan, path: ByteString): Generator<TreeDifference, void, undefined> {
  const { profile } = plan.task;
  const differs = differ(plan, path);
  if (profile === "oci") {
    const marker = lstatSync(fsPath(`${path}/${OCI_OPAQUE}` as ByteString), { throwIfNoEntry: false });
    if (!marker?.isFile()) yield differs("missing", OCI_OPAQUE, "absent");
  } else if (lstatSync(fsPath(path), { throwIfNoEntry: false }) && getPathXattr(path, OPAQUE_XATTR[profile]) !== "y") {
    yield differs("xattr", `${OPAQUE_XATTR[profile]}=y`, "absent");
  }
}

function* checkXattrs(plan: TreePlan, path: ByteString, attributes: PhysicalAttributes): Generator<TreeDifference, void, undefined> {
  for (const { name, value } of attributes.xattrs) {
    const found = getPathXattr(path, name);
    if (found !== value) yield differ(plan, path)("xattr", `${name}=${value}`, found ?? "absent");
  }
}

function* extras(
  plan: TreePlan,
  directory: ByteString,
  expected: ReadonlySet<ByteString> | undefined,
): Generator<TreeDifference, void, undefined> {
  let names: Buffer[];
  try {
    names = readdirSync(fsPath(directory), "buffer");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return;
    throw error;
  }
  for (const bytes of names) {
    const name = fromBytes(bytes);
    if (!expected?.has(name)) yield differ(plan, `${directory}/${name}` as ByteString)("extra", "absent", "present");
  }
}

function note(expected: Map<ByteString, Set<ByteString>>, path: ByteString): void {
  const slash = path.lastIndexOf("/");
  const directory = path.slice(0, slash) as ByteString;
  const name = path.slice(slash + 1) as ByteString;
  const names = expected.get(directory);
  if (names) names.add(name);
  else expected.set(directory, new Set([name]));
}

function differ(plan: TreePlan, fullPath: ByteString): (kind: TreeDifference["kind"], expected: string, found: string) => TreeDifference {
  const path = fullPath.slice(plan.pathOf(0).length + 1) as ByteString;
  return (kind, expected, found) => ({ path, kind, expected, found });
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}
