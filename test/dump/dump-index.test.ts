import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { diffIndex, dumpIndex, ShaleError, type DumpIndexOptions } from "../../src/index.ts";
import { PROJECT } from "../../tools/project.ts";
import { VALID } from "../../tools/vector-layers.ts";
import { buildLayer } from "../../src/testing/index.ts";
import { localStore } from "../support/local-images.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const vector = (name: string): string => join(PROJECT, "format/vectors", `${name}.sidecar`);

async function lines(target: string, options: DumpIndexOptions = {}): Promise<string[]> {
  return collect(dumpIndex(target, options));
}

async function objects(target: string, options: DumpIndexOptions = {}): Promise<Record<string, unknown>[]> {
  return (await lines(target, { ...options, json: true })).map((line) => JSON.parse(line) as Record<string, unknown>);
}

function bytesOf(value: unknown): string {
  return typeof value === "string"
    ? Buffer.from(value).toString("latin1")
    : Buffer.from((value as { hex: string }).hex, "hex").toString("latin1");
}

async function collect(iterable: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of iterable) found.push(line);
  return found;
}

describe("dumpIndex", () => {
  it("`dumpIndex()` writes lossless JSON lines", async () => {
    for (const name of ["kinds", "names", "sizes", "times", "empty"]) {
      const { entries, chunks, order } = VALID[name]!;
      const dumped = (await objects(vector(`valid-${name}`))).filter(({ kind }) => kind === "entry");
      assert.equal(dumped.length, entries.length);
      for (const [number, { chunk, flags, leader, path, target, xattrs, ...plain }] of entries.entries()) {
        const found = dumped[number]!;
        for (const [field, value] of Object.entries(plain)) assert.equal(found[field], value, `${name} ${number} ${field}`);
        assert.deepEqual([found["path"], found["target"]].map(bytesOf), [path, target]);
        assert.equal(found["chunk"], chunk < 0 ? null : `sha256:${Buffer.from(chunks).toString("hex", chunk * 32, chunk * 32 + 32)}`);
        assert.deepEqual(
          (found["xattrs"] as unknown[][]).map((pair) => pair.map(bytesOf)),
          xattrs.map(({ name: key, value }) => [key, value]),
        );
        assert.equal(found["leader"] === null ? -1 : entries.findIndex((one) => one.path === bytesOf(found["leader"])), leader);
        assert.equal((found["flags"] as string[]).length, flags.toString(2).replaceAll("0", "").length);
        assert.equal(found["order"] ?? -1, order.indexOf(number));
      }
    }
  });

  it("`dumpIndex()` prints one line per entry, whatever bytes its name has", async () => {
    const [, , ...table] = await lines(vector("valid-names"));
    assert.equal(table.length, VALID["names"]!.entries.length - 1);
    assert.ok(table.every((line) => /^[\x20-\x7e]+$/.test(line)));
    assert.equal(new Set(table.map((line) => line.slice(99))).size, table.length);
  });

  it("`dumpIndex()` filters by prefix and by whiteouts, and prints shadowed entries with `all`", async () => {
    const paths = async (options: DumpIndexOptions): Promise<string[]> =>
      (await lines(vector("valid-kinds"), options)).slice(1).map((line) => line.split(/ [-wohisp]{6} /)[1] ?? "");
    assert.deepEqual(await paths({ prefix: "/implied/" }), ["implied", "implied/below"]);
    assert.deepEqual(await paths({ whiteouts: true }), ["marker", "opaque", "whiteout"]);
    assert.deepEqual(await paths({ prefix: "opaque", all: true }), ["opaque", "opaque/.wh..wh..opq"]);
    assert.deepEqual(await paths({ prefix: "not there" }), []);
    assert.equal((await paths({ all: true })).length, VALID["kinds"]!.entries.length);
  });

  it("`dumpIndex()` prints stats and the header", async () => {
    const [, stats] = await objects(vector("valid-kinds"), { show: "stats" });
    assert.deepEqual(stats?.["kinds"], { directory: 3, block: 1, char: 1, file: 7, fifo: 1, whiteout: 2, socket: 1, symlink: 1 });
    assert.deepEqual([stats?.["shadowed"], stats?.["hardLinks"], stats?.["duplicates"], stats?.["duplicateBytes"]], [3, 1, 1, 3]);
    const [, header] = await objects(vector("valid-later-columns"), { show: "header" });
    assert.deepEqual(header?.["unknownKeys"], ["fsVerity", "x.later"]);
    assert.equal((header?.["columns"] as unknown[] | undefined)?.length, 23);
    assert.ok((await lines(vector("valid-small"), { show: "stats" })).length >= 7);
    assert.ok((await lines(vector("valid-small"), { show: "header" })).length > 20);
  });

  it("`dumpIndex()` refuses a damaged, foreign or missing file, with the byte offset", async () => {
    for (const [name, offset] of [
      ["ends-fall", 310],
      ["later-version", 9],
      ["flipped-bit", 0],
      ["foreign", 0],
    ] as const) {
      await assert.rejects(
        lines(vector(`refused-${name}`)),
        (error) => ShaleError.is(error, "SIDECAR_INVALID") && error.detail.offset === offset,
      );
    }
    await assert.rejects(lines("no/such:file"), (error) => ShaleError.is(error, "NOT_CACHED"));
  });

  it("`dumpIndex()` finds a layer by its diff ID and all layers of a reference", async () => {
    await using directory = await temporaryDirectory();
    await using local = await localStore(directory.path);
    const layers = [await buildLayer([{ path: "a", content: "a" }]), await buildLayer([{ path: "b", content: "b" }])];
    await local.pull("two", layers);
    const options = { store: local.path };
    assert.equal((await lines(layers[0]!.diffId, options)).length, 3);
    const found = await objects(local.reference("two"), options);
    assert.deepEqual(
      found.filter(({ kind }) => kind === "sidecar").map(({ index }) => index),
      [0, 1],
    );
    assert.deepEqual(
      found.filter(({ path }) => path === "a" || path === "b").map(({ path }) => path),
      ["a", "b"],
    );
    const [, stats] = await objects(layers[0]!.diffId, { ...options, show: "stats" });
    assert.ok((stats?.["headersBytes"] as number) > 0 && stats?.["layerBytes"] === 2048);
    const differences = await collect(diffIndex(layers[0]!.diffId, layers[1]!.diffId, options));
    assert.deepEqual(
      differences.map((line) => line[0]),
      ["-", "+"],
    );
    await assert.rejects(collect(diffIndex(local.reference("two"), layers[1]!.diffId, options)), RangeError);
  });

  it("`diffIndex()` prints each changed field, and nothing for equal layers", async () => {
    await using directory = await temporaryDirectory();
    await using local = await localStore(directory.path);
    const before = await buildLayer([
      { path: "f", content: "one" },
      { path: "same", content: "x" },
    ]);
    const after = await buildLayer([
      { path: "same", content: "x" },
      { path: "f", content: "three", mode: 0o600 },
    ]);
    await local.pull("both", [before, after]);
    const options = { store: local.path, json: true };
    const [change, ...rest] = (await collect(diffIndex(before.diffId, after.diffId, options))).map(
      (line) => JSON.parse(line) as Record<string, unknown>,
    );
    assert.deepEqual(rest, []);
    assert.deepEqual(Object.keys(change?.["fields"] as object).sort(), ["chunk", "mode", "size"]);
    assert.deepEqual(await collect(diffIndex(before.diffId, before.diffId, options)), []);
  });

  it("`dump-index` exits with 0, 1 and 2", () => {
    const status = (...args: string[]): number | null =>
      spawnSync(process.execPath, [join(PROJECT, "dist/tools/dump-index.js"), ...args]).status;
    assert.equal(status(vector("valid-kinds"), "--json"), 0);
    assert.equal(status(vector("valid-kinds"), "--diff", vector("valid-kinds-unindexed")), 0);
    assert.equal(status(vector("valid-kinds"), "--diff", vector("valid-small")), 1);
    assert.equal(status(vector("refused-foreign")), 2);
    assert.equal(status("--no-such-option"), 2);
  });
});
