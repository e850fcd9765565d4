/**
 * The system calls that node:fs lacks (Linux, 64 bit; glibc and musl). Paths are byte strings; a symlink in the last component is never
 * followed. Every call is synchronous and short; none may block (locks are non-blocking).
 */
import { koffi } from "./koffi.ts";
import { fsPath, toBytes, type ByteString } from "../bytes.ts";
import { isErrno, isError } from "../errors.ts";
import { failureOf } from "./native-call.ts";

const { constants } = process.getBuiltinModule("node:os");
const { linkSync, unlinkSync } = process.getBuiltinModule("node:fs");

const libc: ReturnType<typeof koffi.load> = koffi.load(null);
const c: Record<string, ReturnType<typeof libc.func>> = {
  flock: libc.func("int flock(int fd, int operation)"),
  syncfs: libc.func("int syncfs(int fd)"),
  futimens: libc.func("int futimens(int fd, const void *times)"),
  utimensat: libc.func("int utimensat(int dirfd, const void *path, const void *times, int flags)"),
  lsetxattr: libc.func("int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)"),
  fsetxattr: libc.func("int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)"),
  lgetxattr: libc.func("intptr_t lgetxattr(const void *path, const void *name, void *value, size_t size)"),
  llistxattr: libc.func("intptr_t llistxattr(const void *path, void *list, size_t size)"),
  mknod: libc.func("int mknod(const void *path, unsigned int mode, uint64_t dev)"),
  ioctl: libc.func("int ioctl(int fd, unsigned long request, long argument)"),
};

/** Missing in some C libraries: musl has it since 1.2.4. */
const renameat2: ReturnType<typeof libc.func> | undefined = optional(
  "int renameat2(int olddirfd, const void *oldpath, int newdirfd, const void *newpath, unsigned int flags)",
);

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const AT_FDCWD: number = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const FICLONE = 0x40049409;
/** Maximum bytes of a value and of a list of names (XATTR_SIZE_MAX, XATTR_LIST_MAX). */
const XATTR_MAX = 65_536;

/** Locks an open file without waiting; false if another open file of any process holds the lock. */
export function tryFlock(fd: number, mode: "shared" | "exclusive"): boolean {
  const operation = (mode === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB;
  const error = failureOf(() => c.flock!(fd, operation), { syscall: "flock", answer: constants.errno.EAGAIN });
  if (error === undefined) return true;
  if (error.code === "EAGAIN") return false;
  throw error;
}

/** Syncs the whole file system of this open file; blocks until it is on the disk. */
export function syncfs(fd: number): void {
  must(() => c.syncfs!(fd), "syncfs");
}

/** The same, in the thread pool. */
export function syncfsLater(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    c.syncfs!.async(fd, (error: unknown, result: number) => {
      if (error || result !== 0) reject(isError(error) ? error : new Error("syncfs failed"));
      else resolve();
    });
  });
}

/** Sets access and modification time of an open file: seconds (negative before 1970) and nanoseconds. */
export function setFileTime(fd: number, seconds: number, nanoseconds: number): void {
  must(() => c.futimens!(fd, timespecs(seconds, nanoseconds)), "futimens");
}

/** The same for a path; a symlink gets the time itself. */
export function setPathTime(path: ByteString, seconds: number, nanoseconds: number): void {
  must(() => c.utimensat!(AT_FDCWD, cString(path), timespecs(seconds, nanoseconds), AT_SYMLINK_NOFOLLOW), "utimensat", path);
}

export function setPathXattr(path: ByteString, name: ByteString, value: ByteString): void {
  const bytes = toBytes(value);
  must(() => c.lsetxattr!(cString(path), cString(name), bytes, bytes.length, 0), "lsetxattr", path);
}

export function setFileXattr(fd: number, name: ByteString, value: ByteString): void {
  const bytes = toBytes(value);
  must(() => c.fsetxattr!(fd, cString(name), bytes, bytes.length, 0), "fsetxattr");
}

/** The value; undefined if the file lacks the attribute. */
export function getPathXattr(path: ByteString, name: ByteString): ByteString | undefined {
  const value = Buffer.alloc(XATTR_MAX);
  let length = 0;
  const call = (): unknown => (length = Number(c.lgetxattr!(cString(path), cString(name), value, value.length)));
  const error = failureOf(call, { syscall: "lgetxattr", path });
  if (error === undefined) return value.toString("latin1", 0, length) as ByteString;
  if (error.code === "ENODATA") return undefined;
  throw error;
}

/** Names in the order of the kernel. */
export function listPathXattrs(path: ByteString): ByteString[] {
  const list = Buffer.alloc(XATTR_MAX);
  let length = 0;
  must(() => (length = Number(c.llistxattr!(cString(path), list, list.length))), "llistxattr", path);
  return list.toString("latin1", 0, length).split("\0").slice(0, -1) as ByteString[];
}

/** Creates a device, FIFO or socket node. `mode` contains the type; the umask applies. */
export function mknod(path: ByteString, mode: number, rdev: { major: number; minor: number } = { major: 0, minor: 0 }): void {
  must(() => c.mknod!(cString(path), mode, makedev(rdev.major, rdev.minor)), "mknod", path);
}

/** Makes `target` share all blocks of `source`; false if the file system does not support it, so the caller copies. */
export function tryReflink(targetFd: number, sourceFd: number): boolean {
  const error = failureOf(() => c.ioctl!(targetFd, FICLONE, sourceFd), { syscall: "ioctl FICLONE" });
  if (error === undefined) return true;
  if (["ENOTSUP", "EOPNOTSUPP", "ENOTTY", "EINVAL", "EXDEV", "ENOSYS"].includes(error.code)) return false;
  throw error;
}

/** Renames unless the target exists; false if it does, and nothing was changed. Both on one file system. */
export function renameUnlessThere(from: ByteString, to: ByteString): boolean {
  const result = rename2(from, to, RENAME_NOREPLACE);
  if (result !== "unsupported") return result;
  try {
    linkSync(fsPath(from), fsPath(to));
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
  unlinkSync(fsPath(from));
  return true;
}

/** Exchanges two names atomically; false if the system does not support it. */
export function exchangeNames(one: ByteString, other: ByteString): boolean {
  return rename2(one, other, RENAME_EXCHANGE) === true;
}

function rename2(from: ByteString, to: ByteString, flags: number): boolean | "unsupported" {
  if (!renameat2) return "unsupported";
  const error = failureOf(() => renameat2(AT_FDCWD, cString(from), AT_FDCWD, cString(to), flags), { syscall: "renameat2", path: from });
  if (error === undefined) return true;
  if (error.code === "EEXIST") return false;
  if (["ENOSYS", "EINVAL"].includes(error.code)) return "unsupported";
  throw error;
}

function optional(declaration: string): ReturnType<typeof libc.func> | undefined {
  try {
    return libc.func(declaration);
  } catch {
    // this C library lacks the function
    return undefined;
  }
}

/** dev_t as the C libraries of Linux encode it. */
function makedev(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}

const times: BigInt64Array = new BigInt64Array(4);

function timespecs(seconds: number, nanoseconds: number): BigInt64Array {
  times[0] = times[2] = BigInt(seconds);
  times[1] = times[3] = BigInt(nanoseconds);
  return times;
}

function cString(text: ByteString): Buffer {
  return Buffer.from(`${text}\0`, "latin1");
}

function must(call: () => unknown, syscall: string, path?: ByteString): void {
  const error = failureOf(call, path === undefined ? { syscall } : { syscall, path });
  if (error !== undefined) throw error;
}
