/** Images go out to other tools and come back, the same layer by layer; and bundles boot. Needs root. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { exportImage, makeBundle, openStore, Registry, type BundleOptions, type Image } from "../../src/index.ts";
import { buildImage, buildLayer, writeLayout } from "../../src/testing/index.ts";
import { PROJECT } from "../../tools/project.ts";
import { startDockerRegistry } from "../support/docker-registry.ts";
import { ensureImages } from "../support/ensure-images.ts";
import { run } from "../support/run.ts";
import { runBundle } from "../support/run-bundle.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { umociUnpack } from "../support/umoci-unpack.ts";

interface Source {
  /** What is pulled; default: an image of some layers. */
  readonly reference?: string;
  readonly keepBlobs?: boolean;
}

/** The image, pulled into a store of its own below `directory`. */
async function withImage(
  directory: string,
  work: (image: Image, registry: Registry) => Promise<void>,
  options: Source = {},
): Promise<void> {
  const { reference = await smallImage(directory), keepBlobs } = options;
  await using store = await openStore(join(directory, "store"));
  await using registry = new Registry({ store, plainHttp: true, keepBlobs });
  await using image = await registry.pull(reference, { materialize: "lazy" });
  await work(image, registry);
}

/** Three layers, one of them twice: everything that a tar can say of a file, and 5 MB that do not compress. */
async function smallImage(directory: string): Promise<string> {
  const noise = Buffer.alloc(5_000_000);
  for (let at = 0, state = 1; at < noise.length; at += 4) noise.writeInt32LE((state = (Math.imul(state, 1_103_515_245) + 12_345) | 0), at);
  const base = await buildLayer([
    { path: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\n", mtime: 1_000_000_000 },
    { path: "bin/su", mode: 0o4755, content: "#!\n", uid: 1, gid: 2 },
    { path: "bin/link", type: "symlink", target: "su" },
    { path: "bin/hard", type: "hardlink", target: "bin/su" },
    { path: "opt/noise", content: noise },
  ]);
  const upper = await buildLayer([{ path: "opt/.wh.noise" }, { path: "opt/other", content: "x" }], { compression: "zstd" });
  const again = await buildLayer([{ path: "srv/x", content: "same" }], { compression: "none" });
  await writeLayout(join(directory, "small"), { app: buildImage({ layers: [base, again, upper, again] }) });
  return `oci:${join(directory, "small")}:app`;
}

async function pullElsewhere(
  directory: string,
  reference: string,
): Promise<{ readonly diffIds: readonly string[]; readonly manifestDigest: string }> {
  await using store = await openStore(directory);
  await using registry = new Registry({ store, plainHttp: true });
  await using image = await registry.pull(reference, { materialize: "lazy" });
  return { diffIds: image.config.diffIds, manifestDigest: image.manifestDigest };
}

const skopeo = (...args: readonly string[]): Promise<Buffer> => run("skopeo", ["--insecure-policy", ...args]);

describe("Archives and layouts", () => {
  for (const [form, place] of [
    ["oci", "out:app"],
    ["oci-archive", "out.tar:app"],
    ["docker-archive", "out.tar:example.com/app:1"],
  ] as const) {
    test(`${form}: skopeo copies the export to a registry, and a new store has the same diff IDs from there`, async () => {
      await using directory = await temporaryDirectory();
      await using registry = await startDockerRegistry();
      await withImage(directory.path, async (image) => {
        const out = `${form}:${join(directory.path, place)}`;
        await exportImage(image, out);
        await skopeo("copy", "--quiet", "--dest-tls-verify=false", out, `docker://${registry.host}/app:1`);
        const again = await pullElsewhere(join(directory.path, "other"), `${registry.host}/app:1`);
        assert.deepEqual(again.diffIds, image.config.diffIds);
        const { Layers } = JSON.parse((await skopeo("inspect", out)).toString()) as { Layers: string[] };
        assert.equal(Layers.length, image.config.diffIds.length);
      });
    });
  }

  test("With kept blobs the manifest's digest stays, by way of a registry too", async () => {
    await using directory = await temporaryDirectory();
    await using registry = await startDockerRegistry();
    await withImage(
      directory.path,
      async (image) => {
        const out = `oci-archive:${join(directory.path, "out.tar")}:app`;
        assert.equal((await exportImage(image, out)).sameManifest, true);
        await skopeo("copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", out, `docker://${registry.host}/app:1`);
        const { manifestDigest } = await pullElsewhere(join(directory.path, "other"), `${registry.host}/app:1`);
        assert.equal(manifestDigest, image.manifestDigest);
      },
      { keepBlobs: true },
    );
  });

  for (const compression of ["none", "gzip"] as const) {
    test(`umoci unpacks a layout exported with ${compression}`, async () => {
      await using directory = await temporaryDirectory();
      await withImage(directory.path, async (image) => {
        const out = join(directory.path, "out");
        await exportImage(image, `oci:${out}:app`, { compression });
        const rootfs = await umociUnpack(out, "app", join(directory.path, "unpacked"));
        assert.deepEqual(readFileSync(join(rootfs, "etc/passwd")), await image.readFile("/etc/passwd"));
      });
    });
  }

  test("podman loads both kinds of archive, and what it saves is pulled with the same diff IDs", async () => {
    await using directory = await temporaryDirectory();
    const podman = (...args: readonly string[]): Promise<Buffer> => {
      const place = ["--root", join(directory.path, "podman"), "--runroot", join(directory.path, "podman-run"), "--storage-driver", "vfs"];
      return run("podman", [...place, "--cgroup-manager=cgroupfs", ...args], { env: { ...process.env, TMPDIR: directory.path } });
    };
    await withImage(directory.path, async (image) => {
      for (const [index, form] of (["docker-archive", "oci-archive"] as const).entries()) {
        const out = join(directory.path, `out-${index}.tar`);
        const name = `example.com/app:${index}`;
        await exportImage(image, `${form}:${out}:${name}`);
        await podman("load", "--quiet", "--input", out);
        const saved = join(directory.path, `saved-${index}.tar`);
        await podman("save", "--quiet", `--format=${form}`, "--output", saved, name);
        const again = await pullElsewhere(join(directory.path, `other-${index}`), `${form}:${saved}`);
        assert.deepEqual(again.diffIds, image.config.diffIds);
      }
    });
  });

  test("`shale export` and `shale pull` meet in a pipe", async () => {
    await using directory = await temporaryDirectory();
    const reference = await smallImage(directory.path);
    await withImage(directory.path, async () => {}, { reference });
    const cli = join(PROJECT, "dist/src/cli/main.js");
    const script =
      '"$0" "$1" export --store "$2/store" "$3" docker-archive:-:app:1 | "$0" "$1" pull --store "$2/other" -q docker-archive:-';
    const child = spawn("sh", ["-c", script, process.execPath, cli, directory.path, reference], { stdio: "inherit" });
    const [code] = (await once(child, "exit")) as [number];
    assert.equal(code, 0);
    await using store = await openStore(join(directory.path, "other"));
    await using image = await store.image("app:1", { materialize: "lazy" });
    assert.ok(image);
  });

  test("A full disk ends an export with NO_SPACE, and nothing of it stays", async () => {
    await using directory = await temporaryDirectory();
    const small = join(directory.path, "disk");
    mkdirSync(small);
    await run("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", small]);
    try {
      await withImage(directory.path, async (image) => {
        for (const out of [`oci:${small}/out`, `oci-archive:${small}/out.tar`, `docker-archive:${small}/out.tar`])
          await assert.rejects(exportImage(image, out, { compression: "none" }), { code: "NO_SPACE" });
      });
      assert.equal((await run("find", [small, "-mindepth", "1"])).toString(), "");
    } finally {
      await run("umount", [small]);
    }
  });
});

/** What the container of a bundle says. */
const SCRIPT =
  'id -u; id -g; id -G; pwd; echo "$A|$HOME|$PATH"; echo "$0 $@"; touch /etc/new 2>/dev/null && echo written; cat /data/seed 2>/dev/null; exit 0';

describe("Bundles", () => {
  let reference = "";
  before(async () => {
    reference = `oci:${(await ensureImages()).layout}:base`;
  });

  const boots: readonly (readonly [how: string, options: BundleOptions, written: boolean])[] = [
    ["copied", {}, true],
    ["linked", { rootfs: "link" }, false],
    ["mounted", { rootfs: "overlay" }, true],
    [
      "in a user namespace",
      { idMappings: { uids: [{ containerId: 0, hostId: 0, size: 65_536 }], gids: [{ containerId: 0, hostId: 0, size: 65_536 }] } },
      true,
    ],
    ["read-only", { readOnly: true }, false],
  ];
  for (const [how, options, written] of boots) {
    test(`crun runs a bundle, ${how}, as Docker would run the image`, async () => {
      await using directory = await temporaryDirectory();
      await withImage(
        directory.path,
        async (base, registry) => {
          const config = {
            Entrypoint: ["/bin/sh", "-c", SCRIPT, "entry"],
            Cmd: ["one", "two words"],
            Env: ["A=b=c", "PATH=/usr/bin:/bin"],
            WorkingDir: "/usr/share",
            User: "0:daemon",
            Volumes: { "/data": {} },
          };
          const image = await derived(base, registry, { directory: directory.path, config });
          await using bundle = await makeBundle(image, join(directory.path, "bundle"), options);
          assert.deepEqual(bundle.user, { uid: 0, gid: 1, additionalGids: [] });
          const said = await runBundle(bundle.path);
          const own = [
            "0",
            "1",
            "1",
            "/usr/share",
            "b=c|/root|/usr/bin:/bin",
            "entry one two words",
            ...(written ? ["written"] : []),
            "seed",
          ];
          assert.deepEqual(said.trim().split("\n"), own);
          await image.close();
        },
        { reference },
      );
    });
  }

  test("crun runs as a user of the image, with its groups, and with none of root's powers", async () => {
    await using directory = await temporaryDirectory();
    await withImage(
      directory.path,
      async (base, registry) => {
        const script = "id -u; id -G; grep CapEff /proc/self/status; touch /etc/new 2>/dev/null || echo denied";
        const image = await derived(base, registry, {
          directory: directory.path,
          config: { Cmd: ["/bin/sh", "-c", script], User: "someone" },
        });
        const bundle = await makeBundle(image, join(directory.path, "bundle"));
        assert.deepEqual((await runBundle(bundle.path)).trim().split("\n"), [
          "4242",
          "4243 4244 4245",
          "CapEff:\t0000000000000000",
          "denied",
        ]);
        assert.equal(statSync(join(bundle.path, "rootfs/etc/passwd")).isFile(), true);
        await image.close();
      },
      { reference },
    );
  });
});

/** The image with a layer on top that has a user and a volume's content, and this config. */
async function derived(
  base: Image,
  registry: Registry,
  { directory, config }: { readonly directory: string; readonly config: Readonly<Record<string, unknown>> },
): Promise<Image> {
  const passwd = `${(await base.readFile("/etc/passwd")).toString()}someone:x:4242:4243::/home/someone:/bin/sh\n`;
  const group = `${(await base.readFile("/etc/group")).toString()}first:x:4244:someone\nsecond:x:4245:other,someone\n`;
  const top = await buildLayer([
    { path: "etc/passwd", content: passwd },
    { path: "etc/group", content: group },
    { path: "data", type: "directory" },
    { path: "data/seed", content: "seed\n" },
  ]);
  const plain = join(directory, "plain");
  await exportImage(base, `oci:${plain}`, { compression: "none" });
  const layers = base.config.diffIds.map((diffId) => {
    const content = readFileSync(join(plain, "blobs/sha256", diffId.slice(7)));
    return { diffId, digest: diffId as never, size: content.length, content, mediaType: "application/vnd.oci.image.layer.v1.tar" };
  });
  const place = join(directory, "derived");
  await writeLayout(place, { app: buildImage({ layers: [...layers, top], config }) });
  return registry.pull(`oci:${place}:app`);
}
