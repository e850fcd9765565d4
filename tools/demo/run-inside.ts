/**
 * Running a program with an image's layers as its root directory. There are several ways, and which of them this user may
 * take depends on the machine: the first that works is taken. All mounts are in a namespace that ends with the program.
 */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../src/errors.ts";
import type { Image } from "../../src/index.ts";

export interface Ran {
  /** In words, for people. */
  readonly way: string;
  readonly output: string;
}

/** No way worked. */
export class NoWayError extends Error {
  /** One a way, as `way: why not`. */
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[]) {
    super("nothing that this user may do on this machine could run a program inside the image");
    this.reasons = reasons;
  }
}

export interface RunOptions {
  /** Where the root directory is made, and removed after the run. */
  readonly directory: string;
  readonly signal: AbortSignal;
  /** Where unshare, mount, chroot and bwrap are looked for; default: PATH and the folders of system programs. */
  readonly path?: string;
}

/** Runs the image's entrypoint and command. @throws NoWayError */
export async function runInside(image: Image, options: RunOptions): Promise<Ran> {
  const root = await mkdtemp(join(options.directory, "shale-demo-root-"));
  const path = options.path ?? `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
  const reasons: string[] = [];
  let merged = false;
  try {
    for (const way of waysFor(image, process.geteuid?.() === 0)) {
      const missing = way.needs.filter((program) => find(program, path) === undefined);
      if (missing.length > 0) {
        reasons.push(`${way.name}: ${missing.join(", ")} not installed`);
        continue;
      }
      if (way.copies && !merged) await mergeLayers(image.layers, root);
      merged ||= way.copies;
      const { status, output, complaint } = await run(way.command(root, find("chroot", path) ?? ""), path, options.signal);
      if (status === 0) return { way: way.name, output };
      reasons.push(`${way.name}: ${complaint}`);
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
  throw new NoWayError(reasons);
}

interface Way {
  readonly name: string;
  readonly needs: readonly string[];
  /** True if the root is a directory that the layers are copied into. */
  readonly copies: boolean;
  /** `chroot` is the path of that program: `env -i` leaves no PATH to look it up by. */
  readonly command: (root: string, chroot: string) => string[];
}

const MOUNT =
  'mount -t overlay -o "$1" shale "$2" && mount -o rbind /proc "$2/proc" && mount -o rbind /dev "$2/dev" && shift 2 && exec "$@"';

function waysFor({ config, layers, profile }: Image, isRoot: boolean): Way[] {
  const argv = [...config.entrypoint, ...config.cmd];
  const inRoot = (root: string, chroot: string): string[] => ["env", "-i", ...config.env, chroot, root, ...argv];
  const options = overlayOptions(layers, profile === "userxattr");
  const mounted = (root: string, chroot: string): string[] => ["sh", "-c", MOUNT, "sh", options, root, ...inRoot(root, chroot)];
  const namespace = isRoot ? "" : " in a user namespace";
  return [
    {
      name: `an overlay mount${namespace} (the kernel stacks the layers) and chroot`,
      needs: ["unshare", "mount", "chroot"],
      copies: false,
      command: (...root) => ["unshare", ...(isRoot ? [] : ["-U", "-r"]), "-m", ...mounted(...root)],
    },
    {
      name: "bubblewrap, on a copy of the layers",
      needs: ["bwrap"],
      copies: true,
      command: (root) => bubblewrap(root, config.env, argv),
    },
    {
      name: `chroot${namespace}, on a copy of the layers`,
      needs: ["chroot", ...(isRoot ? [] : ["unshare"])],
      copies: true,
      command: (...root) => [...(isRoot ? [] : ["unshare", "-U", "-r"]), ...inRoot(...root)],
    },
  ];
}

/** `lowerdir` takes the uppermost layer first. */
function overlayOptions(layers: readonly string[], userxattr: boolean): string {
  const lower = layers.toReversed().map((path) => path.replaceAll(/[\\:,]/g, String.raw`\$&`));
  return `lowerdir=${lower.join(":")}${userxattr ? ",userxattr" : ""}`;
}

function bubblewrap(root: string, env: readonly string[], argv: readonly string[]): string[] {
  const variables = env.flatMap((pair) => ["--setenv", pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
  return ["bwrap", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--clearenv", ...variables, ...argv];
}

/** The demo's images have no whiteouts, so that copying one layer over the other is all there is to it. */
async function mergeLayers(layers: readonly string[], root: string): Promise<void> {
  for (const layer of layers) await cp(layer, root, { recursive: true, verbatimSymlinks: true });
}

function find(program: string, path: string): string | undefined {
  return path
    .split(":")
    .map((folder) => join(folder, program))
    .find((file) => isExecutable(file));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) return false;
    throw error;
  }
}

interface Ended {
  readonly status: number | null;
  readonly output: string;
  /** The last line of standard error, or what kept the program from starting. */
  readonly complaint: string;
}

async function run([program = "", ...args]: readonly string[], path: string, signal: AbortSignal): Promise<Ended> {
  signal.throwIfAborted();
  const child = spawn(program, args, { env: { PATH: path, LC_ALL: "C" }, stdio: ["ignore", "pipe", "pipe"], timeout: 20_000, signal });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (data: Buffer) => output.push(data));
  child.stderr.on("data", (data: Buffer) => errors.push(data));
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(signal.aborted ? (signal.reason as Error) : error));
    child.on("close", (status, killer) => {
      const said = Buffer.concat(errors).toString().trim().split("\n").at(-1) ?? "";
      const complaint = said === "" ? `ended with ${killer ?? `status ${status}`}` : said;
      resolve({ status, output: Buffer.concat(output).toString(), complaint });
    });
  });
}
