/** Sets the attributes of an inode that a profile requires. */
import { chmodSync, fchmodSync, fchownSync, lchownSync, readFileSync } from "node:fs";
import { fsPath, type ByteString } from "../bytes.ts";
import { isErrno, ShaleError } from "../errors.ts";
import { setFileTime, setFileXattr, setPathTime, setPathXattr } from "../system/syscalls.ts";
import type { Xattr } from "../../format/entry.ts";
import { S_IFLNK, S_IFMT, type Owner, type PhysicalAttributes } from "./profile.ts";

export interface ModificationTime {
  readonly mtime: number;
  readonly mtimeNs: number;
}

/** Returns the owner of the files that this process creates. */
export function processOwner(): Owner {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
}

/** Returns the file mode creation mask of this process. It reads /proc, because umask(2) would change the mask for a moment. */
export function processUmask(): number {
  return Number.parseInt(/^Umask:\s*([0-7]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "777", 8);
}

/** The owner that a new file has, and its current mode. */
export interface FileState {
  readonly self: Owner;
  readonly mode: number;
}

/**
 * Sets the attributes of an open file of this process. It sets the owner before the mode, because chown clears setuid; xattrs before the
 * mode, which may forbid them; and the time last. @throws STORE_FILESYSTEM if the file system cannot hold an xattr
 */
export function applyToFile(fd: number, attributes: PhysicalAttributes, time: ModificationTime, { self, mode: current }: FileState): void {
  if (attributes.uid !== self.uid || attributes.gid !== self.gid) fchownSync(fd, attributes.uid, attributes.gid);
  setXattrs(attributes.xattrs, (name, value) => setFileXattr(fd, name, value));
  const mode = attributes.mode & 0o7777;
  if (mode !== current) fchmodSync(fd, mode);
  setFileTime(fd, time.mtime, time.mtimeNs);
}

/**
 * Sets the attributes of a directory, symlink or device without opening it. It never follows a symlink and ignores the mode of one.
 * @throws STORE_FILESYSTEM if the file system cannot hold an xattr
 */
export function applyToPath(path: ByteString, attributes: PhysicalAttributes, time: ModificationTime, self: Owner): void {
  const argument = fsPath(path);
  if (attributes.uid !== self.uid || attributes.gid !== self.gid) lchownSync(argument, attributes.uid, attributes.gid);
  setXattrs(attributes.xattrs, (name, value) => setPathXattr(path, name, value));
  if ((attributes.mode & S_IFMT) !== S_IFLNK) chmodSync(argument, attributes.mode & 0o7777);
  setPathTime(path, time.mtime, time.mtimeNs);
}

function setXattrs(xattrs: readonly Xattr[], set: (name: ByteString, value: ByteString) => void): void {
  for (const { name, value } of xattrs) {
    try {
      set(name, value);
    } catch (error) {
      if (!isErrno(error, "EOPNOTSUPP", "ENOTSUP", "E2BIG", "ENOSPC", "ERANGE", "EPERM")) throw error;
      const message = `the store's file system cannot hold the extended attribute ${JSON.stringify(name.slice(0, 255))} (${value.length} bytes); use another file system or profile`;
      throw new ShaleError("STORE_FILESYSTEM", message, { path: "" }, { cause: error });
    }
  }
}
