/** Overlay mounts of trees: options, escaping, limits. Needs root. */
import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { mountOverlay, overlayOptions, ShaleError, type ErrorCode, type Image } from "../../src/index.ts";
import type { TestEntry } from "../../src/testing/index.ts";
import { run } from "../support/run.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ODD = "odd:a,b\\c d'\"é=";

async function pull(harness: StoreHarness, layers: readonly (readonly TestEntry[])[]): Promise<Image> {
  const { reference } = await harness.pushEntries("mount/image", ...layers);
  return (await harness.client()).pull(reference);
}

function rejects(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  return assert.rejects(work, (error) => ShaleError.is(error, code));
}

/** Layers whose names tell their number, each hiding one of the layer below. */
function stack(count: number): TestEntry[][] {
  return Array.from({ length: count }, (_, layer) => [
    { path: "top", content: `${layer}` },
    { path: `only/${layer}`, content: `${layer}` },
    ...(layer > 0 ? [{ path: `only/.wh.${layer - 1}`, content: "" }] : []),
  ]);
}

function mountinfo(): string {
  return readFileSync("/proc/self/mountinfo", "utf8");
}

describe("Overlay mounts", () => {
  test("`overlayOptions()` gives the exact string", () => {
    const image = { layers: ["/s/trees/a", "/s/trees/b"], profile: "overlay" } as const;
    assert.equal(overlayOptions(image), "lowerdir=/s/trees/b:/s/trees/a,index=off");
    assert.equal(
      overlayOptions({ ...image, profile: "userxattr" }, { upper: "/u", work: "/w", index: true, volatile: true }),
      "lowerdir=/s/trees/b:/s/trees/a,upperdir=/u,workdir=/w,index=on,volatile,userxattr",
    );
    assert.equal(overlayOptions({ ...image, layers: ['/a:b,c\\d"e', "/é"] }), 'lowerdir=/é:/a\\:b\\,c\\\\d\\"e,index=off');
    assert.throws(
      () => overlayOptions({ ...image, profile: "oci" }),
      (error) => ShaleError.is(error, "PROFILE_UNSUPPORTED"),
    );
    assert.throws(() => overlayOptions(image, { upper: "/u" }), TypeError);
    assert.throws(() => overlayOptions({ ...image, layers: ["/a"] }), RangeError);
    const many = Array.from({ length: 501 }, (_, index) => `/${index}`);
    assert.throws(
      () => overlayOptions({ ...image, layers: many }),
      (error) => ShaleError.is(error, "LIMIT_IMAGE_LAYERS"),
    );
    assert.equal(overlayOptions({ ...image, layers: many.slice(1) }).split(":").length, 500);
  });

  for (const count of [2, 70]) {
    test(`\`mountOverlay()\` and mount(8) show ${count} layers merged, and the mount is read-only and goes away`, async () => {
      await using harness = await startStore();
      await using directory = await temporaryDirectory();
      const image = await pull(harness, stack(count));
      const target = join(directory.path, "merged");
      mkdirSync(target);
      const check = (): void => {
        assert.equal(readFileSync(join(target, "top"), "utf8"), `${count - 1}`);
        assert.deepEqual(readdirSync(join(target, "only")), [`${count - 1}`]);
      };
      {
        await using mounted = await mountOverlay(image, target);
        check();
        assert.throws(() => writeFileSync(join(target, "new"), ""), { code: "EROFS" });
        assert.equal(mounted.target, target);
        assert.ok(mountinfo().includes(target));
      }
      assert.ok(!mountinfo().includes(directory.path));
      const options = overlayOptions(image);
      assert.ok(options.length < 4096 || count > 60);
      if (options.length < 4096) {
        await run("mount", ["-t", "overlay", "image", "-o", `ro,${options}`, target]);
        check();
        await run("umount", [target]);
      }
      await image.close();
    });
  }

  test("`mountOverlay()` mounts 500 layers, whose options are longer than a page", async () => {
    await using directory = await temporaryDirectory();
    const layers = Array.from({ length: 500 }, (_, index) => {
      const layer = join(directory.path, `layer-with-a-name-of-some-length-${index}`);
      mkdirSync(layer);
      writeFileSync(join(layer, `${index}`), "");
      return layer;
    });
    const target = join(directory.path, "merged");
    mkdirSync(target);
    assert.ok(overlayOptions({ layers, profile: "overlay" }).length > 4096 * 4);
    await using mounted = await mountOverlay({ layers, profile: "overlay" }, target);
    assert.equal(readdirSync(mounted.target).length, 500);
  });

  test("`mountOverlay()` and mount(8) take paths with any characters, and of any length", async () => {
    await using directory = await temporaryDirectory();
    const place = (name: string): string => {
      const path = join(directory.path, ODD, name);
      mkdirSync(path, { recursive: true });
      return path;
    };
    const long = Array.from({ length: 3 }, (_, index) => `${index}`.repeat(200)).join("/");
    const [a, b, upper, work, target] = [place("a"), place(`b/${long}`), place("upper"), place("work"), place("merged")];
    writeFileSync(join(a, "a"), "");
    writeFileSync(join(b, "b"), "");
    const image = { layers: [a, b], profile: "overlay" } as const;
    {
      await using mounted = await mountOverlay(image, target, { upper, work });
      writeFileSync(join(mounted.target, "c"), "");
      assert.deepEqual(readdirSync(target), ["a", "b", "c"]);
      assert.deepEqual(readdirSync(upper), ["c"]);
    }
    await run("mount", ["-t", "overlay", "image", "-o", overlayOptions(image, { upper, work }), target]);
    assert.deepEqual(readdirSync(target), ["a", "b", "c"]);
    await run("umount", [target]);
  });

  test("`mountOverlay()` bind-mounts a single layer read-only", async () => {
    await using harness = await startStore();
    await using directory = await temporaryDirectory();
    const image = await pull(harness, [[{ path: "file", content: "x" }]]);
    await using mounted = await mountOverlay(image, directory.path, { nosuid: true, nodev: true, noexec: true });
    assert.equal(readFileSync(join(mounted.target, "file"), "utf8"), "x");
    assert.throws(() => writeFileSync(join(mounted.target, "file"), ""), { code: "EROFS" });
    const line = mountinfo()
      .split("\n")
      .find((one) => one.includes(directory.path));
    assert.match(line ?? "", / ro,nosuid,nodev,noexec,/);
    await image.close();
  });

  test("`mountOverlay()` hides what lies below a layer whose root is opaque, as the merged view does", async () => {
    await using harness = await startStore();
    await using directory = await temporaryDirectory();
    const image = await pull(harness, [
      [{ path: "a", content: "a" }],
      [{ path: ".wh..wh..opq" }, { path: "b", content: "b" }],
      [{ path: "c", content: "c" }],
    ]);
    await using mounted = await mountOverlay(image, directory.path);
    assert.deepEqual(readdirSync(mounted.target), ["b", "c"]);
    assert.deepEqual(
      (await image.readdir("/")).map(({ name }) => name),
      ["b", "c"],
    );
    await image.close();
  });

  test("`mountOverlay()` fails with MOUNT_FAILED, and so does its unmount while a file is open, until it is detached", async () => {
    await using harness = await startStore();
    await using directory = await temporaryDirectory();
    const image = await pull(harness, stack(2));
    await rejects(mountOverlay(image, join(directory.path, "absent")), "MOUNT_FAILED");
    await rejects(mountOverlay({ profile: "overlay", layers: ["/nowhere/a", "/nowhere/b"] }, directory.path), "MOUNT_FAILED");
    const link = `${directory.path}-link`;
    symlinkSync(directory.path, link);
    const mounted = await mountOverlay(image, link);
    await run("rm", [link]);
    assert.equal(mounted.target, directory.path);
    const fd = openSync(join(directory.path, "top"), "r");
    await rejects(mounted.unmount(), "MOUNT_FAILED");
    assert.ok(statSync(join(directory.path, "top")).isFile());
    await mounted.unmount({ detach: true });
    assert.deepEqual(readdirSync(directory.path), []);
    assert.equal(readFileSync(fd, "utf8"), "1");
    closeSync(fd);
    await mounted.unmount();
    await image.close();
  });
});
