/** Creates a store: probes the file system and the rights of this user, creates the directories, and writes the superblock last. */
import { chmodSync, existsSync, linkSync, lstatSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync, lchownSync } from "node:fs";
import { join } from "node:path";
import { toByteString, type ByteString } from "../bytes.ts";
import { isErrno, ShaleError } from "../errors.ts";
import { durableWrite } from "../system/durable-write.ts";
import { FileLock } from "../system/file-lock.ts";
import { mknod, setPathXattr } from "../system/syscalls.ts";
import type { StoreLayout } from "./layout.ts";
import { S_IFCHR, type Profile } from "./profile.ts";
import { formatSuperblock, newSuperblock, readSuperblock, type Superblock } from "./superblock.ts";

const CACHEDIR_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is a shale store; see https://bford.info/cachedir/\n";

/** f_type of statfs(2) for NFS, SMB 1 and 2, 9p, Ceph and AFS. Their flock is emulated or missing, so locks would not hold. */
const NETWORK_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x6969, 0xff534d42, 0xfe534d42, 0x01021997, 0x00c36400, 0x5346414f]);

/**
 * Creates a store in an empty directory, or returns the superblock that another process wrote first. Probes the profile if none is given.
 * @throws NOT_A_STORE, STORE_FILESYSTEM
 */
export async function initializeStore(layout: StoreLayout, profile: Profile | undefined, signal?: AbortSignal): Promise<Superblock> {
  refuseForeign(layout);
  refuseNetwork(layout.root);
  for (const directory of layout.directories) mkdirSync(directory, { mode: 0o700, recursive: true });
  using lock = await FileLock.acquire(layout.lock("init"), { signal });
  void lock;
  const quicker = readSuperblock(layout.superblock, layout.root);
  if (quicker) return quicker;
  // no process works in a store without a superblock, so these files are from an initialization that died
  for (const name of readdirSync(layout.staging)) rmSync(join(layout.staging, name), { recursive: true, force: true });
  probeLinksAndCase(layout);
  const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const superblock = newSuperblock(profile ?? probeProfile(layout), owner);
  durableWrite(layout.cachedirTag, CACHEDIR_TAG, layout.staging);
  durableWrite(layout.superblock, formatSuperblock(superblock), layout.staging);
  return superblock;
}

/** Accepts the files of an interrupted initialization. @throws NOT_A_STORE if the directory contains anything else */
function refuseForeign(layout: StoreLayout): void {
  const ours = new Set([layout.cachedirTag, ...layout.directories].map((path) => layout.relative(path).split("/")[0]));
  const foreign = readdirSync(layout.root).find((name) => !ours.has(name));
  // a superblock exists by now: another process created the store
  if (foreign === undefined || existsSync(layout.superblock)) return;
  const message = `${JSON.stringify(layout.root)} is not empty and not a store: it contains ${JSON.stringify(foreign)}; choose an empty or new directory`;
  throw new ShaleError("NOT_A_STORE", message, { path: layout.root });
}

function refuseNetwork(path: string): void {
  if (!NETWORK_FILE_SYSTEMS.has(statfsSync(path).type)) return;
  const message = `${JSON.stringify(path)} is on a network file system, where locks do not hold; choose a local directory`;
  throw new ShaleError("STORE_FILESYSTEM", message, { path });
}

function probeLinksAndCase(layout: StoreLayout): void {
  const probe = join(layout.staging, "Probe");
  writeFileSync(probe, "", { mode: 0o600 });
  try {
    if (existsSync(join(layout.staging, "pROBE"))) throw unsuitable(layout.root, "ignores the case of names");
    linkSync(probe, `${probe}-link`);
  } catch (error) {
    if (isErrno(error, "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")) throw unsuitable(layout.root, "has no hard links");
    throw error;
  } finally {
    rmSync(probe, { force: true });
    rmSync(`${probe}-link`, { force: true });
  }
}

function unsuitable(path: string, why: string): ShaleError<"STORE_FILESYSTEM"> {
  return new ShaleError(
    "STORE_FILESYSTEM",
    `the file system of ${JSON.stringify(path)} ${why}; choose a directory on ext4, xfs, btrfs or tmpfs`,
    { path },
  );
}

/** Probes whether this process may create what the `overlay` profile needs. Being uid 0 is not enough. */
function probeProfile(layout: StoreLayout): Profile {
  const probe = join(layout.staging, "probe-profile");
  rmSync(probe, { recursive: true, force: true });
  mkdirSync(probe, { mode: 0o700 });
  try {
    mknod(toByteString(join(probe, "device")), S_IFCHR, { major: 0, minor: 0 });
    setPathXattr(toByteString(probe), "trusted.shale" as ByteString, "y" as ByteString);
    writeFileSync(join(probe, "file"), "");
    lchownSync(join(probe, "file"), 12_345, 12_345);
    chmodSync(join(probe, "file"), 0o4755);
    return lstatSync(join(probe, "file")).uid === 12_345 ? "overlay" : "userxattr";
  } catch (error) {
    if (isErrno(error, "EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "ENOSYS")) return "userxattr";
    throw error;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}
