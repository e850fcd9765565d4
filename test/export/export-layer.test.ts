import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ShaleError, type Store } from "../../src/index.ts";
import { buildLayer, layerFromTar, type TestEntry, type TestLayer } from "../../src/testing/index.ts";
import { verifySidecar } from "../../format/index.ts";
import { localStore } from "../support/local-images.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** A tar without its end blocks, so that tars can be joined. */
function withoutEnd(tar: Uint8Array): Buffer {
  let end = tar.length;
  while (end >= 512 && Buffer.from(tar.subarray(end - 512, end)).every((byte) => byte === 0)) end -= 512;
  return Buffer.from(tar.subarray(0, end));
}

async function tarOf(entries: readonly TestEntry[]): Promise<Buffer> {
  const layer = await buildLayer(entries, { compression: "none" });
  return withoutEnd(layer.content as Uint8Array);
}

/** One ustar header with a right checksum. */
function header(name: string, fields: { size?: number; type?: string; link?: string } = {}): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, "latin1");
  block.write("0000644\x000000000\x000000000\x00", 100, "latin1");
  block.write(
    `${(fields.size ?? 0).toString(8).padStart(11, "0")}\x0000000000000\x00        ${fields.type ?? "0"}${fields.link ?? ""}`,
    124,
    "latin1",
  );
  block.write("ustar\x0000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\x00 `, 148, "latin1");
  return block;
}

const END = Buffer.alloc(1024);
const big = Buffer.alloc(3_000_001, "layer upon layer ");

async function oddLayers(): Promise<Record<string, Buffer>> {
  const plain = await tarOf([
    { path: "etc/motd", content: "hello\n", xattrs: { "user.note": "x" } },
    { path: "big", content: big },
  ]);
  const dirty = Buffer.from(plain);
  dirty.write("not zero", plain.indexOf("hello\n") + 100);
  const again = (content: string): Promise<Buffer> => tarOf([{ path: "same", content, mtime: content.length }]);
  const linked = await tarOf([
    { path: "a", content: "linked" },
    { path: "b", type: "hardlink", target: "a", mode: 0o600, mtime: 7 },
  ]);
  const pad = (text: string): Buffer => Buffer.concat([Buffer.from(text), Buffer.alloc(512 - text.length)]);
  return {
    nothing: Buffer.alloc(0),
    "only end blocks": END,
    plain: Buffer.concat([plain, END]),
    "no end blocks": plain,
    "one end block": Buffer.concat([plain, Buffer.alloc(512)]),
    "a long end": Buffer.concat([plain, Buffer.alloc(10_240)]),
    "bytes after the end": Buffer.concat([plain, END, Buffer.from("something else"), plain]),
    "padding that is not zero": Buffer.concat([dirty, END]),
    "entries overwritten later": Buffer.concat([await again("first"), await again("second!"), await again("first"), END]),
    "attributes changed by a hard link": Buffer.concat([linked, END]),
    "a whiteout with content": Buffer.concat([
      header(".wh.gone", { size: 5 }),
      pad("bytes"),
      header(".wh.x/below", { size: 3 }),
      pad("abc"),
      END,
    ]),
    "an opaque marker with content": Buffer.concat([header("d/.wh..wh..opq", { size: 5 }), pad("bytes"), header("d/x"), END]),
    "a hard link with a size": Buffer.concat([header("a", { size: 3 }), pad("abc"), header("b", { type: "1", link: "a", size: 3 }), END]),
    "a pax global header": Buffer.concat([header("pax_global_header", { type: "g", size: 13 }), pad("13 comment=x\n"), plain, END]),
    "names of V7": Buffer.concat([header("\xff\xfe"), header("caf\xe9/", { type: "5" }), header("caf\xe9/x", { size: 1 }), pad("x"), END]),
    "equal files": Buffer.concat([await tarOf([1, 2, 3].map((n) => ({ path: `equal/${n}`, content: "the same" }))), END]),
  };
}

describe("exportLayer", () => {
  it("`store.exportLayer()` gives back each odd layer byte for byte, with and without index", async () => {
    for (const buildIndex of [true, false]) {
      await using directory = await temporaryDirectory();
      await using local = await localStore(directory.path);
      for (const [name, tar] of Object.entries(await oddLayers())) {
        const layer = layerFromTar(tar);
        await local.pull(name.replaceAll(" ", "-"), [layer], { buildIndex });
        const rebuilt = await exported(local.store, layer.diffId);
        assert.ok(rebuilt.equals(tar), name);
        await verifySidecar(join(local.path, "layers", layer.diffId.replace(":", "-"), "sidecar"));
      }
    }
  });

  it("`store.exportLayer()` gives back what GNU tar writes in each of its formats", async () => {
    await using directory = await temporaryDirectory();
    await using local = await localStore(directory.path);
    const long = "d/".repeat(90) + "x".repeat(120);
    await run(
      "sh",
      [
        "-c",
        `mkdir -p "src/$(dirname ${long})" && cd src && seq 100000 >${long} && ln ${long} hard && ln -s ${long} soft && touch -d @12345 old`,
      ],
      { cwd: directory.path },
    );
    for (const format of ["v7", "oldgnu", "gnu", "ustar", "posix"]) {
      const source = ["v7", "ustar"].includes(format) ? "old" : ".";
      const tar = await run("tar", [`--format=${format}`, "-C", join(directory.path, "src"), "-c", source]);
      const layer = layerFromTar(tar);
      await local.pull(format, [layer], { materialize: "lazy" });
      assert.ok((await exported(local.store, layer.diffId)).equals(tar), format);
    }
  });

  it("`store.exportLayer()` yields pieces of bounded size that stay the caller's", async () => {
    await using directory = await temporaryDirectory();
    await using local = await localStore(directory.path);
    const layer = await buildLayer([
      { path: "big", content: big },
      ...Array.from({ length: 500 }, (_, at) => ({ path: `f${at}`, content: `${at}` })),
    ]);
    await local.pull("big", [layer]);
    const pieces: Uint8Array[] = [];
    for await (const piece of local.store.exportLayer(layer.diffId)) pieces.push(piece);
    assert.ok(pieces.length < 40 && pieces.every((piece) => piece.length <= 1 << 20));
    assert.equal(`sha256:${createHash("sha256").update(Buffer.concat(pieces)).digest("hex")}`, layer.diffId);
  });

  it("`store.exportLayer()` takes an equal inode when a chunk is missing, and fails when there is none", async () => {
    await using directory = await temporaryDirectory();
    await using local = await localStore(directory.path);
    const layer = await buildLayer([
      { path: "a", content: "equal" },
      { path: "b", content: "equal", mtime: 9 },
      { path: "c", content: "equal" },
    ]);
    await local.pull("equal", [layer]);
    const files = chunkFiles(local.path);
    assert.equal(files.length, 3);
    for (const file of files) {
      renameSync(file, `${directory.path}/aside`);
      await exported(local.store, layer.diffId);
      renameSync(`${directory.path}/aside`, file);
    }
    for (const file of files) rmSync(file);
    await assert.rejects(exported(local.store, layer.diffId), (error) => ShaleError.is(error, "STORE_DAMAGED"));
  });

  it("`store.exportLayer()` fails with a code for a layer that is not there, damaged, or not what its chunks say", async () => {
    await using directory = await temporaryDirectory();
    await using local = await localStore(directory.path);
    const layer = await layerWith("content");
    await local.pull("one", [layer]);
    const folder = join(local.path, "layers", layer.diffId.replace(":", "-"));
    const fails = (
      code: "NOT_CACHED" | "DIGEST_MISMATCH" | "STORE_DAMAGED" | "SIDECAR_INVALID" | "DIGEST_INVALID",
      diffId: string = layer.diffId,
    ): Promise<void> => assert.rejects(exported(local.store, diffId), (error) => ShaleError.is(error, code));
    await fails("NOT_CACHED", `sha256:${"0".repeat(64)}`);
    await fails("DIGEST_INVALID", "sha256:../..");
    const [file = ""] = chunkFiles(local.path);
    writeFileSync(file, "CONTENT");
    await fails("DIGEST_MISMATCH");
    writeFileSync(file, "more content");
    await fails("STORE_DAMAGED");
    writeFileSync(file, "content");
    await exported(local.store, layer.diffId);
    truncateSync(join(folder, "headers"), statSync(join(folder, "headers")).size - 1);
    await fails("STORE_DAMAGED");
    truncateSync(join(folder, "sidecar"), 300);
    await fails("SIDECAR_INVALID");
    rmSync(folder, { recursive: true });
    await fails("NOT_CACHED");
  });

  it("`store.exportLayer()` ends with the signal's reason, and does not begin on a closed store", async () => {
    await using directory = await temporaryDirectory();
    await using local = await localStore(directory.path);
    const layer = await layerWith("content");
    await local.pull("one", [layer]);
    const reason = new Error("enough");
    await assert.rejects(exported(local.store, layer.diffId, AbortSignal.abort(reason)), reason);
    await local.store.close();
    await assert.rejects(exported(local.store, layer.diffId), (error) => ShaleError.is(error, "STORE_CLOSED"));
  });
});

function layerWith(content: string): Promise<TestLayer> {
  return buildLayer([{ path: "file", content }]);
}

async function exported(store: Store, diffId: string, signal?: AbortSignal): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of store.exportLayer(diffId, { signal })) pieces.push(piece);
  return Buffer.concat(pieces);
}

function chunkFiles(store: string): string[] {
  const entries = readdirSync(join(store, "chunks"), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
