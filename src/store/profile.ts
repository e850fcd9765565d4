/**
 * Profiles: the form of a tree's files on disk. A profile maps the attributes of a file in the image to the physical attributes of its
 * inode. See format/store.md, "Profiles and physical attributes".
 */
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, type Xattr } from "../../format/entry.ts";
import { ShaleError } from "../errors.ts";
import type { ByteString } from "../bytes.ts";

export const PROFILES = ["overlay", "userxattr", "oci"] as const;
export type Profile = (typeof PROFILES)[number];

/** The attributes of a file in the image. `mode` is a full st_mode. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly xattrs: readonly Xattr[];
}

/** The attributes of an inode on disk. `mode` is a full st_mode; `xattrs` are sorted by name. */
export interface PhysicalAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly xattrs: readonly Xattr[];
}

/** A user and group. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK };

/** The xattr in which containers/storage, fuse-overlayfs and microsandbox keep the original attributes of a file. */
const OVERRIDE_STAT = "user.containers.override_stat" as ByteString;

/** @throws PROFILE_UNSUPPORTED */
export function parseProfile(text: string): Profile {
  const profile = PROFILES.find((known) => known === text);
  if (profile) return profile;
  throw new ShaleError("PROFILE_UNSUPPORTED", `profile ${JSON.stringify(text)} is unknown; use one of ${PROFILES.join(", ")}`, {
    profile: text,
  });
}

/** Returns the attributes of the inode of a file, directory, symlink or special file in a tree of this profile. */
export function physicalAttributes(profile: Profile, file: Attributes, owner: Owner): PhysicalAttributes {
  switch (profile) {
    case "overlay":
      return { mode: file.mode, uid: file.uid, gid: file.gid, xattrs: escapeOverlay(file.xattrs) };
    case "userxattr":
      return userxattr(file, owner);
    case "oci":
      return oci(file, owner);
  }
}

const OVERLAY_NAMESPACES = ["trusted.overlay.", "user.overlay."] as const;

/**
 * Escapes an image's own overlay attributes, so that they do not act as markers of the tree. This is the escape of overlayfs for nested
 * mounts (Documentation/filesystems/overlayfs.rst, "Nesting overlayfs mounts"), so a mounted overlay shows the original names.
 */
function escapeOverlay(xattrs: readonly Xattr[]): readonly Xattr[] {
  if (!xattrs.some(({ name }) => OVERLAY_NAMESPACES.some((space) => name.startsWith(space)))) return xattrs;
  return sorted(
    xattrs.map(({ name, value }) => {
      const space = OVERLAY_NAMESPACES.find((candidate) => name.startsWith(candidate));
      return space ? { name: `${space}overlay.${name.slice(space.length)}` as ByteString, value } : { name, value };
    }),
  );
}

/** Uses the text form `uid:gid:mode[:type[-major-minor]]` of containers/storage. Symlinks cannot have user xattrs. */
function userxattr(file: Attributes, owner: Owner): PhysicalAttributes {
  const type = file.mode & S_IFMT;
  if (type === S_IFLNK) return { mode: file.mode, ...owner, xattrs: [] };
  const directory = type === S_IFDIR;
  const mode = directory ? S_IFDIR | (file.mode & 0o777) | 0o700 : S_IFREG | (file.mode & 0o777) | 0o600;
  const stat = `${file.uid}:${file.gid}:${(file.mode & 0o7777).toString(8)}${overrideType(file, type)}` as ByteString;
  return { mode, ...owner, xattrs: sorted([...userXattrs(escapeOverlay(file.xattrs)), { name: OVERRIDE_STAT, value: stat }]) };
}

function overrideType(file: Attributes, type: number): string {
  switch (type) {
    case S_IFCHR:
      return `:char-${file.rdevMajor}-${file.rdevMinor}`;
    case S_IFBLK:
      return `:block-${file.rdevMajor}-${file.rdevMinor}`;
    case S_IFIFO:
      return ":pipe";
    case S_IFSOCK:
      return ":socket";
    case S_IFDIR:
      return ":dir";
    default:
      return ":file";
  }
}

/** As microsandbox 0.3 on Linux: anything but a directory is a file of mode 0600, with the original stat in an xattr of 20 bytes. */
function oci(file: Attributes, owner: Owner): PhysicalAttributes {
  const directory = (file.mode & S_IFMT) === S_IFDIR;
  const stat = Buffer.alloc(20);
  stat.writeUInt8(1, 0);
  stat.writeUInt32LE(file.uid, 4);
  stat.writeUInt32LE(file.gid, 8);
  stat.writeUInt32LE(file.mode, 12);
  stat.writeUInt32LE(((file.rdevMajor & 0xfff) << 8) | (file.rdevMinor & 0xff) | ((file.rdevMinor & 0xfff00) << 12), 16);
  const override = { name: OVERRIDE_STAT, value: stat.toString("latin1") as ByteString };
  return { mode: directory ? S_IFDIR | 0o700 : S_IFREG | 0o600, ...owner, xattrs: sorted([...userXattrs(file.xattrs), override]) };
}

/** Returns the xattrs that an unprivileged process may set, without the one that this profile uses itself. */
function userXattrs(xattrs: readonly Xattr[]): readonly Xattr[] {
  return xattrs.filter(({ name }) => name.startsWith("user.") && name !== OVERRIDE_STAT);
}

function sorted(xattrs: readonly Xattr[]): readonly Xattr[] {
  return xattrs.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
