/**
 * Mounts with the kernel's mount API (Linux 5.2), one call per option, so the options need not fit in one page. Paths are byte strings. The
 * calls are made by number, which is the same on every architecture, since musl has no wrappers for them.
 */
import { closeSync, readSync } from "node:fs";
import { koffi } from "./koffi.ts";
import { toBytes, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { failureOf } from "./native-call.ts";

const libc: ReturnType<typeof koffi.load> = koffi.load(null);
const call = (...types: string[]): ReturnType<typeof libc.func> => libc.func("syscall", "long", ["long", ...types]);
const c: Record<string, ReturnType<typeof libc.func>> = {
  openTree: call("intptr_t", "const void *", "intptr_t"),
  moveMount: call("intptr_t", "const void *", "intptr_t", "const void *", "intptr_t"),
  fsopen: call("const void *", "intptr_t"),
  fsconfig: call("intptr_t", "intptr_t", "const void *", "const void *", "intptr_t"),
  fsmount: call("intptr_t", "intptr_t", "intptr_t"),
  mountSetattr: call("intptr_t", "const void *", "intptr_t", "const void *", "intptr_t"),
  mount: libc.func("int mount(const void *source, const void *target, const void *type, unsigned long flags, const void *data)"),
  umount2: libc.func("int umount2(const void *target, int flags)"),
};
const [OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, MOUNT_SETATTR] = [428, 429, 430, 431, 432, 442];

const AT_FDCWD: number = -100;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE_CLOEXEC = 0x80001;
const CLOEXEC = 1;
const SET_FLAG = 0;
const SET_STRING = 1;
const CMD_CREATE = 6;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** Bits that are equal in mount(2) and mount_setattr(2). */
export const MountFlag: { readonly readOnly: 1; readonly nosuid: 2; readonly nodev: 4; readonly noexec: 8 } = {
  readOnly: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
};

/** Maximum bytes of a string for fsconfig(2), without NUL. */
export const MAX_OPTION_VALUE = 255;
/** Maximum bytes of all options of mount(2), without NUL: one page of 4 KiB. */
export const MAX_OPTIONS = 4095;

export interface NewMount {
  readonly type: string;
  /** In this order. An option without a value is a flag. */
  readonly options: readonly (readonly [name: string, value?: ByteString])[];
  /** Sum of MountFlag. */
  readonly flags: number;
}

/** Mounts a new file system. @throws an error with an errno code, and the kernel's message if there is one */
export function mountNew({ type, options, flags }: NewMount, target: ByteString): void {
  const context = check(() => c.fsopen!(FSOPEN, cString(type), CLOEXEC), "fsopen");
  try {
    for (const [name, value] of options) {
      const bytes = value === undefined ? null : cString(value);
      check(() => c.fsconfig!(FSCONFIG, context, bytes ? SET_STRING : SET_FLAG, cString(name), bytes, 0), `fsconfig ${name}`, context);
    }
    check(() => c.fsconfig!(FSCONFIG, context, CMD_CREATE, null, null, 0), "fsconfig create", context);
    attach(
      check(() => c.fsmount!(FSMOUNT, context, CLOEXEC, flags), "fsmount", context),
      target,
    );
  } finally {
    closeSync(context);
  }
}

/** Bind-mounts a directory without the mounts below it. */
export function mountBind(source: ByteString, target: ByteString, flags: number): void {
  const tree = check(() => c.openTree!(OPEN_TREE, AT_FDCWD, cString(source), OPEN_TREE_CLONE_CLOEXEC), "open_tree");
  try {
    // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    const attributes = BigInt64Array.of(BigInt(flags), 0n, 0n, 0n);
    check(() => c.mountSetattr!(MOUNT_SETATTR, tree, cString(""), AT_EMPTY_PATH, attributes, attributes.byteLength), "mount_setattr");
  } catch (error) {
    closeSync(tree);
    throw error;
  }
  attach(tree, target);
}

/** Mounts with the older mount(2): one string of options, at most MAX_OPTIONS bytes. */
export function mountByString(type: string, options: ByteString, { flags, target }: { flags: number; target: ByteString }): void {
  check(() => c.mount!(cString(type), cString(target), cString(type), flags, cString(options)), "mount");
}

/** With `detach` the mount disappears at once and ends with its last user. */
export function unmount(target: ByteString, { detach }: { detach: boolean }): void {
  check(() => c.umount2!(cString(target), UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)), "umount2");
}

/** Closes the descriptor of `mount`; the mount stays attached. */
function attach(mount: number, target: ByteString): void {
  try {
    check(() => c.moveMount!(MOVE_MOUNT, mount, cString(""), AT_FDCWD, cString(target), MOVE_MOUNT_F_EMPTY_PATH), "move_mount");
  } finally {
    closeSync(mount);
  }
}

function check(call: () => unknown, syscall: string, context?: number): number {
  let result = 0;
  const error = failureOf(() => (result = Number(call())), { syscall });
  if (error === undefined) return result;
  if (context !== undefined) error.message += kernelLog(context);
  throw error;
}

/** The kernel's message about a file system context that failed. */
function kernelLog(context: number): string {
  const line = Buffer.alloc(1024);
  try {
    return `: ${line.toString("utf8", 0, readSync(context, line)).trim()}`;
  } catch (error) {
    if (isErrno(error, "ENODATA", "EMSGSIZE")) return "";
    throw error;
  }
}

function cString(text: string): Buffer {
  return toBytes(`${text}\0` as ByteString);
}
