/**
 * Finds the trees that are mounted anywhere on this machine: a second guard beside leases, for a mount that outlives its lease.
 *
 * A bind mount is recognized by its file system and the path in it, which no other user can forge, in every mount namespace. An overlay
 * shows only the paths that it was mounted with, as text. Such text counts only where root or the store's owner can have mounted it:
 * otherwise any user could keep a tree by mounting an overlay over directories with the same names.
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { toByteString, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { parseTreeId, type TreeId } from "../store/ids.ts";
import { parseStagingName, type StoreLayout } from "../store/layout.ts";

/** Returns the ids of the trees that are mounted, or moved to staging and still mounted. */
export function mountedTrees(layout: StoreLayout): ReadonlySet<TreeId> {
  const mounted = new Set<TreeId>();
  const store = locate(layout);
  const { uid } = statSync(layout.root);
  const seen = new Set<string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const isTrusted = mapsRootOr(uid, pid);
    const namespace = namespaceOf(pid);
    if (namespace !== undefined && seen.has(`${namespace} ${isTrusted}`)) continue;
    const table = readProcess(pid, "mountinfo");
    if (table === undefined || seen.has(`${table} ${isTrusted}`)) continue;
    seen.add(`${namespace ?? table} ${isTrusted}`);
    for (const mount of parseMounts(table)) {
      for (const id of [boundTree(mount, store), ...(isTrusted ? overlaidTrees(mount) : [])]) if (id !== undefined) mounted.add(id);
    }
  }
  return mounted;
}

/** A line of /proc/PID/mountinfo, as byte strings without escapes. */
interface Mount {
  readonly id: string;
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The path in the file system that is mounted. */
  readonly root: ByteString;
  readonly mountPoint: ByteString;
  readonly type: string;
  /** Options of the file system. */
  readonly options: readonly ByteString[];
}

function parseMounts(table: string): Mount[] {
  return table.split("\n").flatMap((line) => {
    const [fields = "", source = ""] = line.split(" - ");
    const [id, , device, root, mountPoint] = fields.split(" ");
    const [type = "", , options = ""] = source.split(" ");
    if (id === undefined || device === undefined || root === undefined || mountPoint === undefined) return [];
    return [{ id, device, root: unescape(root), mountPoint: unescape(mountPoint), type, options: options.split(",").map(unescape) }];
  });
}

/** The kernel writes white space, backslashes and, in options, commas as three octal digits. */
function unescape(text: string): ByteString {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))) as ByteString;
}

/** A store's position in its file system. */
interface StoreLocation {
  readonly device: string;
  /** The paths of `trees` and `staging` in the file system. */
  readonly trees: string;
  readonly staging: string;
  /** The path of `trees` in this process's namespace. */
  readonly visibleTrees: string;
}

/** Takes the device from the mount table and not from stat(2): btrfs gives different numbers there. */
function locate({ trees, staging }: StoreLayout): StoreLocation | undefined {
  const directory = openSync(trees, "r");
  try {
    const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${directory}`, "latin1"))?.[1];
    const mount = parseMounts(readProcess("self", "mountinfo") ?? "").find((one) => one.id === id);
    if (!mount) return undefined;
    const inFileSystem = (path: string): string => join(mount.root, toByteString(path).slice(mount.mountPoint.replace(/\/$/, "").length));
    return { device: mount.device, trees: inFileSystem(trees), staging: inFileSystem(staging), visibleTrees: toByteString(trees) };
  } finally {
    closeSync(directory);
  }
}

function join(root: string, path: string): string {
  return root === "/" ? path : root + path;
}

/** Returns the tree of which this mount shows the whole or a part, or on which something is mounted. */
function boundTree({ device, root, mountPoint }: Mount, store: StoreLocation | undefined): TreeId | undefined {
  if (!store) return undefined;
  const below = (path: string, directory: string): string | undefined =>
    path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : undefined;
  const path = device === store.device ? (below(root, store.trees) ?? below(root, store.staging)) : undefined;
  return treeIn(path ?? below(mountPoint, store.visibleTrees) ?? "");
}

/** Returns the trees among the lower layers. Their paths may be relative, or those of another namespace, so only the names count. */
function overlaidTrees({ type, options }: Mount): (TreeId | undefined)[] {
  if (type !== "overlay") return [];
  const lower = options.filter((option) => /^(?:lowerdir|datadir)\+?=/.test(option));
  return lower.flatMap((option) => option.slice(option.indexOf("=") + 1).split(":")).map((path) => treeIn(path));
}

/** Finds a tree id among the names of a path, also in the name that the tree has in staging. */
function treeIn(path: string): TreeId | undefined {
  for (const name of path.split("/")) {
    const staged = parseStagingName(name);
    const treeId = staged.kind === "replaced-tree" ? staged.treeId : parseTreeId(name);
    if (treeId !== undefined) return treeId;
  }
  return undefined;
}

/**
 * True if the user namespace of the process maps root or this user. Another user's namespace maps neither, and an unprivileged process
 * mounts only in a mount namespace that its own user namespace owns.
 */
function mapsRootOr(uid: number, pid: string): boolean {
  const ranges = (readProcess(pid, "uid_map") ?? "").split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  return ranges.some(([, first = NaN, count = 0]) => [0, uid].some((id) => id >= first && id < first + count));
}

/** Undefined if the process is gone or may not be inspected. */
function namespaceOf(pid: string): string | undefined {
  return ifInspectable(() => readlinkSync(`/proc/${pid}/ns/mnt`));
}

/** Undefined if the process is gone or may not be inspected. */
function readProcess(pid: string, file: "mountinfo" | "uid_map"): string | undefined {
  return ifInspectable(() => readFileSync(`/proc/${pid}/${file}`, "latin1"));
}

function ifInspectable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL")) return undefined;
    throw error;
  }
}
