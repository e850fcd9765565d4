/** Several requests for one blob: the same bytes, in order, each once. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseReference } from "../../../src/image/reference.ts";
import { RegistrySource, type RegistrySourceOptions } from "../../../src/source/registry/registry-source.ts";
import type { BlobOptions, SourceEvent } from "../../../src/source/source.ts";
import { bytesBlob, startRegistry, type FaultAction, type TestBlob, type TestRegistry } from "../../../src/testing/index.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { startSlowProxy } from "../../support/slow-proxy.ts";
import { collect, descriptorFor, QUICK } from "../registry-harness.ts";

const MIB = 1024 * 1024;
const PIECE = 8 * MIB;
const BYTES: Buffer = randomBytes(5 * PIECE + 2_345_678);
/** Sent in small chunks, so that the count of sent bytes is exact. */
const BLOB: TestBlob = {
  ...bytesBlob(BYTES, "application/octet-stream"),
  content: async function* (offset: number) {
    for (let at = offset; at < BYTES.length; at += 65_536) yield BYTES.subarray(at, at + 65_536);
  },
};
const MATCH = /^GET .*\/blobs\//;

class Place implements AsyncDisposable {
  readonly registry: TestRegistry;
  readonly source: RegistrySource;
  readonly events: SourceEvent[] = [];

  private constructor(registry: TestRegistry, source: RegistrySource) {
    this.registry = registry;
    this.source = source;
  }

  static async start(options: RegistrySourceOptions = {}): Promise<Place> {
    const registry = await startRegistry();
    registry.pushBlob("team/app", BLOB);
    const own = { plainHttp: true, retry: QUICK, hostDirectories: [], credentials: "anonymous", ...options } as const;
    return new Place(registry, new RegistrySource({ parallelRanges: { count: 4, minBytes: 16 * MIB }, ...own }));
  }

  stream(options: BlobOptions = {}): AsyncIterable<Uint8Array> {
    const onEvent = (event: SourceEvent): unknown => this.events.push(event);
    return this.source.readBlob(parseReference(`${this.registry.host}/team/app:v1`), descriptorFor(BLOB), { onEvent, ...options });
  }

  /** The first byte of each request, in order. */
  get starts(): readonly (number | undefined)[] {
    return this.registry.requestsTo(MATCH).map(({ headers }) => {
      const range = /^bytes=([0-9]+)-/.exec(String(headers["range"]));
      return range === null ? undefined : Number(range[1]);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.close();
    await this.registry.close();
  }
}

const PIECES: readonly number[] = [0, 1, 2, 3, 4, 5].map((piece) => piece * PIECE);

test("`readBlob()` with `parallelRanges` requests each range of a large blob once, and yields them in order", async () => {
  await using place = await Place.start();
  assert.ok((await collect(place.stream())).equals(BYTES));
  assert.deepEqual(place.starts, PIECES);
  assert.equal(place.registry.bytesSent, BYTES.length);
  assert.deepEqual(place.events, [{ kind: "serving", host: place.registry.host, mirror: false }]);
});

test("`readBlob()` with `parallelRanges` reads the rest from an offset, and a short range with one request", async () => {
  await using place = await Place.start();
  assert.ok((await collect(place.stream({ offset: PIECE + 7 }))).equals(BYTES.subarray(PIECE + 7)));
  assert.deepEqual(
    place.starts,
    PIECES.slice(0, -1).map((start) => start + PIECE + 7),
  );
  assert.ok((await collect(place.stream({ offset: BYTES.length - 1000 }))).equals(BYTES.subarray(-1000)));
  assert.deepEqual(place.starts.slice(5), [BYTES.length - 1000]);
});

test("`readBlob()` with `parallelRanges` becomes one stream after one request if the server ignores Range", async () => {
  await using place = await Place.start();
  place.registry.misbehave({ match: MATCH, times: 99, action: { kind: "ignore-range" } });
  assert.ok((await collect(place.stream())).equals(BYTES));
  assert.deepEqual(place.starts, [0, undefined]);
  assert.ok(place.registry.bytesSent < BYTES.length * 1.5, `${place.registry.bytesSent} bytes`);
});

test("`readBlob()` with `parallelRanges` continues as one stream when the server begins to ignore Range", async () => {
  await using place = await Place.start();
  place.registry.misbehave({ match: MATCH, after: 3, times: 1, action: { kind: "ignore-range" } });
  assert.ok((await collect(place.stream())).equals(BYTES));
  assert.equal(place.starts.at(-1), 3 * PIECE);
});

for (const [what, action, again] of [
  ["breaks", { kind: "cut", after: 1_000_000 }, 1_000_000],
  ["stalls", { kind: "stall", after: 1_000_000 }, 1_000_000],
  ["is refused by 503", { kind: "respond", status: 503 }, 0],
  ["is dropped", { kind: "drop" }, 0],
] as const satisfies readonly (readonly [string, FaultAction, number])[]) {
  for (const piece of [0, 2, 5]) {
    test(`\`readBlob()\` with \`parallelRanges\` takes the rest of piece ${piece} when its request ${what}, and no byte twice`, async () => {
      await using place = await Place.start(what === "stalls" ? { http: { stallTimeout: 1000 } } : {});
      place.registry.misbehave({ match: ({ headers }) => String(headers["range"]).startsWith(`bytes=${piece * PIECE}-`), action });
      assert.ok((await collect(place.stream())).equals(BYTES));
      assert.deepEqual(
        place.starts.toSorted((a, b) => a! - b!),
        [...PIECES, piece * PIECE + again].toSorted((a, b) => a - b),
      );
      assert.equal(place.registry.bytesSent, BYTES.length);
      assert.ok(place.events.some(({ kind }) => kind === "retrying"));
    });
  }
}

test("`readBlob()` with `parallelRanges` reads all ranges from a mirror, and the rest of a broken one from the registry", async () => {
  await using directory = await temporaryDirectory();
  await using place = await Place.start({ hostDirectories: [directory.path] });
  await using mirror = await startRegistry();
  mirror.pushBlob("team/app", BLOB);
  mkdirSync(join(directory.path, "_default"));
  writeFileSync(join(directory.path, "_default/hosts.toml"), `[host."${mirror.origin}"]\n`);
  assert.ok((await collect(place.stream())).equals(BYTES));
  assert.deepEqual([mirror.bytesSent, place.registry.bytesSent], [BYTES.length, 0]);
  mirror.misbehave({ match: MATCH, after: 2, action: { kind: "cut", after: 1_000_000 } });
  assert.ok((await collect(place.stream())).equals(BYTES));
  assert.equal(mirror.bytesSent + place.registry.bytesSent, 2 * BYTES.length);
  assert.ok(place.registry.bytesSent > 0);
});

test("`readBlob()` with `parallelRanges` fails when one range fails, and ends the other requests", async () => {
  await using place = await Place.start();
  const match = ({ headers }: { headers: Readonly<Record<string, unknown>> }): boolean =>
    String(headers["range"]).startsWith(`bytes=${2 * PIECE}-`);
  place.registry.misbehave({ match, times: 99, action: { kind: "respond", status: 503 } });
  await assert.rejects(collect(place.stream()), { code: "REGISTRY_ERROR" });
  const asked = place.starts.length;
  assert.ok((await collect(place.stream({ offset: BYTES.length - 10 }))).length === 10);
  assert.equal(place.starts.length, asked + 1);
});

test("`readBlob()` with `parallelRanges` refuses a range of a blob of another size", async () => {
  await using place = await Place.start();
  place.registry.misbehave({
    match: MATCH,
    after: 1,
    times: 99,
    action: { kind: "headers", headers: { "content-range": `bytes ${PIECE}-${2 * PIECE - 1}/${BYTES.length + 1}` } },
  });
  await assert.rejects(collect(place.stream()), { code: "SIZE_MISMATCH" });
});

test("`readBlob()` with `parallelRanges` fetches no more than `count` ranges ahead of a waiting reader", async () => {
  await using place = await Place.start({ parallelRanges: { count: 2, minBytes: 0 } });
  const body = place.stream()[Symbol.asyncIterator]();
  await body.next();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(place.starts, [0, PIECE]);
  await body.return?.();
  assert.ok(place.registry.bytesSent <= 2 * PIECE);
});

test("`readBlob()` with `parallelRanges` ends with the signal's reason", async () => {
  await using place = await Place.start();
  const abort = new AbortController();
  const reason = new Error("enough");
  place.registry.misbehave({ match: MATCH, after: 2, times: 9, action: { kind: "stall", after: 100 } });
  setTimeout(() => abort.abort(reason), 200);
  await assert.rejects(collect(place.stream({ signal: abort.signal })), reason);
});

test("`readBlob()` with `parallelRanges` uses several connections where each is slow", async () => {
  await using place = await Place.start();
  await using proxy = await startSlowProxy({ to: place.registry.host, latencyMs: 20, bytesPerSecond: 20 * MIB });
  const parallelRanges = { count: 4, minBytes: 0 };
  await using source = Object.assign(
    new RegistrySource({ plainHttp: true, hostDirectories: [], credentials: "anonymous", parallelRanges }),
    {
      [Symbol.asyncDispose]: () => source.close(),
    },
  );
  const hash = createHash("sha256");
  for await (const chunk of source.readBlob(parseReference(`${proxy.host}/team/app:v1`), descriptorFor(BLOB))) hash.update(chunk);
  assert.equal(`sha256:${hash.digest("hex")}`, BLOB.digest);
  assert.ok(proxy.connections() >= 4);
});
