/**
 * The programs that the tests need beside Node. As root on Debian what is missing is installed with apt; anywhere else it
 * is named and the run fails: a test that cannot run is a failure, never a skip.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

interface Prerequisite {
  readonly program: string;
  /** Debian's package that brings it. */
  readonly debian: string;
}

export const PREREQUISITES: readonly Prerequisite[] = [
  { program: "mmdebstrap", debian: "mmdebstrap" },
  { program: "umoci", debian: "umoci" },
  { program: "skopeo", debian: "skopeo" },
  { program: "docker-registry", debian: "docker-registry" },
  { program: "nginx", debian: "nginx-light" },
  { program: "bwrap", debian: "bubblewrap" },
  { program: "crun", debian: "crun" },
  { program: "mkfs.xfs", debian: "xfsprogs" },
  { program: "mkfs.btrfs", debian: "btrfs-progs" },
  { program: "mkfs.ext4", debian: "e2fsprogs" },
  { program: "getfattr", debian: "attr" },
  { program: "setcap", debian: "libcap2-bin" },
  { program: "strace", debian: "strace" },
  { program: "unshare", debian: "util-linux" },
  { program: "prlimit", debian: "util-linux" },
  { program: "losetup", debian: "mount" },
  { program: "zstd", debian: "zstd" },
  { program: "openssl", debian: "openssl" },
  { program: "zsh", debian: "zsh" },
  { program: "fish", debian: "fish" },
  { program: "fuse-overlayfs", debian: "fuse-overlayfs" },
  { program: "podman", debian: "podman" },
];

/** System programs live in sbin, which is not on everyone's PATH. */
const SYSTEM_FOLDERS: readonly string[] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

export function missingPrerequisites(
  path: string = process.env["PATH"] ?? "",
  wanted: readonly Prerequisite[] = PREREQUISITES,
): Prerequisite[] {
  const folders = [...path.split(delimiter).filter((folder) => folder !== ""), ...SYSTEM_FOLDERS];
  return wanted.filter(({ program }) => !folders.some((folder) => isExecutable(join(folder, program))));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    // absent or not ours to run: either way the search goes on
    return false;
  }
}

function canInstall(): boolean {
  return process.getuid?.() === 0 && /^ID(?:_LIKE)?=.*\bdebian\b/m.test(readFileSync("/etc/os-release", "utf8"));
}

const MARK = "# made by shale's prepare-tests, for the time of an installation\n";

/** Debian's rules for services that packages bring: whether they are started now, and whether they are enabled for the next boot. */
const SERVICE_RULES: readonly { readonly path: string; readonly text: string }[] = [
  { path: "usr/sbin/policy-rc.d", text: `#!/bin/sh\n${MARK}exit 101\n` },
  { path: "run/systemd/system-preset/00-shale-prepare-tests.preset", text: `${MARK}disable *\n` },
];

/** Runs `installation` while packages can neither start nor enable a service: the tests run their own. Keeps rules that exist. */
export function withoutServices(root: string, installation: () => void): void {
  const rules = SERVICE_RULES.map(({ path, text }) => ({ path: join(root, path), text }));
  // a run that was killed may have left them
  const made = rules.filter(({ path }) => !existsSync(path) || readFileSync(path, "utf8").includes(MARK));
  // without a listener, the signal would end this process before the rules are removed
  const ignore = (): void => {};
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, ignore);
  try {
    for (const { path, text } of made) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text, { mode: 0o755 });
    }
    installation();
  } finally {
    for (const { path } of made) rmSync(path, { force: true });
    for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, ignore);
  }
}

function install(packages: readonly string[]): void {
  // RUNLEVEL=1 keeps invoke-rc.d from starting services where the machine's own policy-rc.d allows it
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const options = { env, stdio: ["ignore", "inherit", "inherit"] as ["ignore", "inherit", "inherit"] };
  spawnSync("apt-get", ["update", "-q"], options);
  withoutServices("/", () => spawnSync("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...packages], options));
}

if (import.meta.main) {
  const before = missingPrerequisites();
  if (before.length > 0 && canInstall()) install([...new Set(before.map(({ debian }) => debian))]);
  const missing = missingPrerequisites();
  for (const { program, debian } of missing) process.stderr.write(`the tests need ${program}; on Debian: apt-get install ${debian}\n`);
  process.stderr.write(`prerequisites: ${missing.length === 0 ? "ok" : `${missing.length} missing`}\n`);
  if (missing.length > 0) process.exitCode = 1;
}
