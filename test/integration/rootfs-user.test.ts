/** An ordinary user's images: the profile `userxattr` boots through user namespaces and fuse-overlayfs. Needs root, to become one. */
import assert from "node:assert/strict";
import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { PROJECT } from "../../tools/project.ts";
import { pushLayout, startDockerRegistry } from "../support/docker-registry.ts";
import { ensureImages } from "../support/ensure-images.ts";
import type { PulledAsUser } from "../support/pull-as-user.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";

const NOBODY = "65534";
const AS_NOBODY = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set=-all", "--no-new-privs"];

let directory: TemporaryDirectory;
let pulled: PulledAsUser;

before(async () => {
  directory = await temporaryDirectory();
  chmodSync(directory.path, 0o755);
  const [home, project] = [join(directory.path, "home"), join(directory.path, "project")];
  for (const path of [home, project]) mkdirSync(path);
  chmodSync(home, 0o777);
  await run("mknod", [join(directory.path, "fuse"), "c", "10", "229"]);
  await using registry = await startDockerRegistry();
  const { layout } = await ensureImages();
  const reference = await pushLayout({ directory: layout, tag: "full" }, registry, { repository: "tests/user", tag: "full" });
  // the checkout may lie where nobody else can enter: a bind mount, in a namespace of the child's, can be entered
  const mount = 'mount -o bind "$1" "$2" && cd / && shift 2 && exec "$@"';
  const node = process.execPath.startsWith(PROJECT) ? join(project, relative(PROJECT, process.execPath)) : process.execPath;
  const program = join(project, "dist/test/support/pull-as-user.js");
  const args = ["-m", "sh", "-c", mount, "sh", PROJECT, project, ...AS_NOBODY, node, program, reference, home];
  pulled = JSON.parse((await run("unshare", args)).toString()) as PulledAsUser;
});

after(() => directory[Symbol.asyncDispose]());

/** Runs a script as the user, in a user and mount namespace of its own where it is root. */
async function inNamespace(script: string, ...args: readonly string[]): Promise<string> {
  // everybody may open /dev/fuse on most machines; where that is not so, here it is
  const fuse = 'chmod 666 "$1" && mount -o bind "$1" /dev/fuse && shift && exec "$@"';
  const namespace = [...AS_NOBODY, "unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh", ...args];
  return (await run("unshare", ["-m", "sh", "-ec", fuse, "sh", join(directory.path, "fuse"), ...namespace], { cwd: "/" })).toString();
}

test("An ordinary user's store has the profile userxattr and files of the user's", () => {
  assert.equal(pulled.profile, "userxattr");
  assert.match(pulled.options, /,userxattr$/);
  const setuid = lstatSync(join(pulled.rootfs, "opt/shale/setuid"));
  assert.deepEqual([setuid.uid, setuid.mode & 0o7777], [Number(NOBODY), 0o755]);
  assert.ok(lstatSync(join(pulled.rootfs, "opt/shale/null")).isFile());
});

test("An ordinary user mounts the layers in a user namespace and runs the image's programs", async () => {
  const script = `
    mount -t overlay -o "$1" image /mnt
    test ! -e /mnt/etc/issue.net && test -f /mnt/usr/share/common-licenses && ls /mnt/etc/cron.daily
    chroot /mnt /bin/sh -c 'id -u; python3 -c "print(6 * 7)"'`;
  assert.equal(await inNamespace(script, pulled.options), "only-this\n0\n42\n");
});

test("An ordinary user writes in an overlay over the layers, and the layers stay as they are", async () => {
  const script = `
    mount -t tmpfs none /media && mkdir /media/upper /media/work
    mount -t overlay -o "$1,upperdir=/media/upper,workdir=/media/work" image /mnt
    echo more >>/mnt/etc/profile && rm /mnt/etc/debian_version && mkdir /mnt/etc/issue.net && ls /mnt/etc/issue.net
    tail -n 1 /mnt/etc/profile; test ! -e /mnt/etc/debian_version`;
  assert.equal(await inNamespace(script, pulled.options), "more\n");
  assert.ok(lstatSync(join(pulled.rootfs, "etc/debian_version")).isFile());
});

test("An ordinary user boots the merged root file system with bubblewrap", async () => {
  const args = ["--unshare-all", "--uid", "0", "--gid", "0", "--ro-bind", pulled.rootfs, "/", "--dev", "/dev", "--proc", "/proc"];
  const [program, ...rest] = [...AS_NOBODY, "bwrap", ...args, "/bin/sh", "-c", "id -u; python3 -c 'print(6 * 7)'"];
  assert.equal((await run(program, rest, { cwd: "/" })).toString(), "0\n42\n");
});

test("fuse-overlayfs shows the image's owners and modes from the extended attribute", async () => {
  const lower = pulled.layers.toReversed().join(":");
  const script = `
    fuse-overlayfs -o "lowerdir=$1,xattr_permissions=2" /mnt
    stat -c '%n %u:%g %a %F' /mnt/opt/shale/setuid /mnt/opt/shale/owned /mnt/opt/shale/setgid /mnt/opt/shale/sticky /mnt/opt/shale/null
    test ! -e /mnt/etc/issue.net && ls /mnt/etc/cron.daily
    umount /mnt`;
  const shown = await inNamespace(script, lower);
  assert.match(shown, /setuid 0:0 4755 regular file/);
  // 1234:5678, whom this namespace does not map
  assert.match(shown, /owned 65534:65534 644 regular file/);
  assert.match(shown, /setgid 0:0 2711 directory/);
  assert.match(shown, /sticky 0:0 1777 directory/);
  assert.match(shown, /null 0:0 644 (?:regular empty file|character special file)/);
  assert.match(shown, /only-this/);
});
