/** Creates an OCI runtime bundle of an image: a directory that crun, runc and other OCI runtimes run. */
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isMapped, ownMappings, type IdMappings } from "../bundle/id-mappings.ts";
import { resolveUser, type ContainerUser } from "../bundle/resolve-user.ts";
import { runtimeConfig } from "../bundle/runtime-config.ts";
import { ShaleError } from "../errors.ts";
import { mountOverlay, type OverlayMount } from "../mount/mount-overlay.ts";
import { Destination, destinationError } from "../view/destination.ts";
import {
  checkArgument,
  checkOptions,
  isBoolean,
  isListOf,
  isOneOf,
  isRecord,
  isSignal,
  isText,
  isWhole,
  type Check,
} from "./check-options.ts";
import type { Image } from "./image.ts";
import { materializeRootfs } from "./materialize-rootfs.ts";

export interface BundleOptions {
  /**
   * `copy` (default): separate files, reflinked where the file system supports it. `link`: hard links into the store; the root is then
   * read-only. `overlay`: the layers mounted below an upper directory of the bundle (root, profile `overlay`), until the bundle is disposed.
   * `none`: an empty directory, on which the caller mounts something.
   */
  readonly rootfs?: "copy" | "link" | "overlay" | "none" | undefined;
  /** Make the root file system read-only. Default false; always true with `link`. */
  readonly readOnly?: boolean | undefined;
  /** Use a user namespace, for a runtime without root. Default: true unless this process is root. */
  readonly rootless?: boolean | undefined;
  /** Default for `rootless`: id 0 is this user; the others are its subordinate ids (/etc/subuid, /etc/subgid). */
  readonly idMappings?: IdMappings | undefined;
  /** Replaces the image's Cmd. */
  readonly args?: readonly string[] | undefined;
  /** Replaces the image's Entrypoint, and drops its Cmd. */
  readonly entrypoint?: readonly string[] | undefined;
  /** `NAME=value`; added to the image's, or replacing those of the same name. */
  readonly env?: readonly string[] | undefined;
  readonly cwd?: string | undefined;
  /** Replaces the image's User; names are looked up in the image. */
  readonly user?: string | undefined;
  readonly hostname?: string | undefined;
  /** Default false. */
  readonly terminal?: boolean | undefined;
  /** `none` (default): a new, empty network namespace. `host`: the network namespace of the runtime. */
  readonly network?: "none" | "host" | undefined;
  /** `tmpfs` (default): each volume is in memory, with the initial content of the image. `rootfs`: volumes are ordinary directories. */
  readonly volumes?: "tmpfs" | "rootfs" | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Disposing unmounts the overlay, if any, and keeps the directory. */
export interface Bundle extends AsyncDisposable {
  /** Absolute, symlinks resolved. */
  readonly path: string;
  readonly user: Omit<ContainerUser, "home">;
  /** Labels that did not become annotations, because OCI runtimes act on annotations of these names. */
  readonly omittedLabels: readonly string[];
  /** Only with `overlay`. Keep the image open while this is mounted. */
  readonly mount?: OverlayMount | undefined;
}

const isWords: Check = isListOf((value) => (typeof value === "string" ? undefined : { expected: "a string" }), "strings");
const isIdMapping: Check = isListOf(
  isRecord({ containerId: isWhole("ids"), hostId: isWhole("ids"), size: isWhole("ids", 1) }),
  "id mappings { containerId, hostId, size }",
);
const BUNDLE_OPTIONS: Readonly<Record<keyof BundleOptions, Check>> = {
  rootfs: isOneOf("copy", "link", "overlay", "none"),
  readOnly: isBoolean,
  rootless: isBoolean,
  idMappings: isRecord({ uids: isIdMapping, gids: isIdMapping }),
  args: isWords,
  entrypoint: isWords,
  env: isWords,
  cwd: isText,
  user: (value) => (typeof value === "string" ? undefined : { expected: "a string" }),
  hostname: isText,
  terminal: isBoolean,
  network: isOneOf("none", "host"),
  volumes: isOneOf("tmpfs", "rootfs"),
  signal: isSignal,
};

/** Bytes of /etc/passwd or /etc/group that are read at most. */
const MAX_FILE: number = 4 * 1024 * 1024;

/**
 * Creates a bundle (https://github.com/opencontainers/runtime-spec/blob/v1.2.0/bundle.md) in a directory that is missing or empty: `config.json`
 * from the image config, and `rootfs`. It appears when it is complete; a failure leaves nothing.
 * @throws CONFIG_INVALID for a config that cannot be run safely, USER_NOT_FOUND, DESTINATION_UNUSABLE, MODE_UNSUPPORTED, MOUNT_FAILED, NO_SPACE,
 * PROFILE_UNSUPPORTED, STORE_DAMAGED, SIDECAR_INVALID, STORE_CLOSED
 */
export async function makeBundle(image: Image, directory: string, options: BundleOptions = {}): Promise<Bundle> {
  checkArgument("makeBundle", "directory", directory, isText);
  checkOptions("makeBundle", options, BUNDLE_OPTIONS);
  const { rootfs = "copy", rootless = process.geteuid?.() !== 0, network = "none", volumes = "tmpfs", signal } = options;
  signal?.throwIfAborted();
  const mappings = options.idMappings ?? (rootless ? ownMappings() : undefined);
  const user = resolveUser(options.user ?? image.config.user ?? "", await userFiles(image));
  if (mappings) refuseUnmapped(user, mappings);
  const readOnly = options.readOnly === true || rootfs === "link";
  const { document, omittedLabels } = runtimeConfig(image.config, { ...options, user, mappings, network, volumes, readOnly });
  const place = Destination.prepare(directory);
  try {
    await fill(image, place.tree, { rootfs, signal });
    writeFileSync(join(place.tree, "config.json"), `${JSON.stringify(document, undefined, 2)}\n`, { mode: 0o600 });
    signal?.throwIfAborted();
    chmodSync(place.tree, 0o700);
    place.publish();
  } catch (error) {
    await place.discard();
    throw destinationError(error, directory);
  }
  const { home: _, ...ids } = user;
  const mount = rootfs === "overlay" ? await mountAt(image, place.path) : undefined;
  return { path: place.path, user: ids, omittedLabels, mount, [Symbol.asyncDispose]: async () => mount?.unmount() };
}

async function fill(image: Image, bundle: string, { rootfs, signal }: Pick<BundleOptions, "rootfs" | "signal">): Promise<void> {
  const target = join(bundle, "rootfs");
  switch (rootfs) {
    case "copy":
      await materializeRootfs(image, target, { mode: "reflink", fallback: "copy", signal });
      return;
    case "link":
      await materializeRootfs(image, target, { mode: "link", signal });
      return;
    case "overlay":
      await image.materialize({ signal });
      for (const name of ["rootfs", "upper", "work"]) mkdirSync(join(bundle, name), { mode: 0o755 });
      return;
    default:
      mkdirSync(target, { mode: 0o755 });
  }
}

/** Mounts after publishing: a mount cannot be moved with its directory. */
async function mountAt(image: Image, bundle: string): Promise<OverlayMount> {
  try {
    return await mountOverlay(image, join(bundle, "rootfs"), { upper: join(bundle, "upper"), work: join(bundle, "work") });
  } catch (error) {
    for (const name of readdirSync(bundle)) rmSync(join(bundle, name), { recursive: true, force: true });
    rmSync(bundle, { recursive: true, force: true });
    throw error;
  }
}

async function userFiles(image: Image): Promise<{ passwd: string | undefined; group: string | undefined }> {
  return { passwd: await smallFile(image, "/etc/passwd"), group: await smallFile(image, "/etc/group") };
}

async function smallFile(image: Image, path: string): Promise<string | undefined> {
  try {
    const { size } = await image.stat(path);
    if (size > MAX_FILE) throw new ShaleError("CONFIG_INVALID", `the image's ${path} has ${size} bytes, more than ${MAX_FILE}`, {});
    return (await image.readFile(path)).toString("utf8");
  } catch (error) {
    if (ShaleError.is(error, "PATH_NOT_FOUND") || ShaleError.is(error, "PATH_WRONG_KIND") || ShaleError.is(error, "PATH_LOOP"))
      return undefined;
    throw error;
  }
}

function refuseUnmapped({ uid, gid, additionalGids }: ContainerUser, { uids, gids }: IdMappings): void {
  const stray = isMapped(uid, uids) ? [gid, ...additionalGids].find((id) => !isMapped(id, gids)) : uid;
  if (stray === undefined) return;
  const message = `the image runs as ${uid}:${gid}, and ${stray} is not mapped into the user namespace; give idMappings, or add to /etc/subuid and /etc/subgid`;
  throw new ShaleError("USER_NOT_FOUND", message, { user: String(stray) });
}
