import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ShaleError } from "../../src/errors.ts";
import { Ingest, type LayerRequest } from "../../src/ingest/ingest.ts";
import { DEFAULT_LIMITS } from "../../src/pull/limits.ts";
import { WorkerPool } from "../../src/system/worker-pool.ts";
import { buildLayer, type TestLayer } from "../../src/testing/index.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const MODULE: URL = new URL("../support/mortal-worker.js", import.meta.url);

function requestFor(layer: TestLayer, directory: string, blob: AsyncIterable<Uint8Array>): LayerRequest {
  const { diffId, digest, size, mediaType } = layer;
  return {
    diffId,
    descriptor: { digest, size, mediaType },
    blob,
    directory,
    buildIndex: true,
    verifyContent: false,
    limits: DEFAULT_LIMITS,
    onDownloaded: () => {},
    onUnpacked: () => {},
    onSettling: () => {},
  };
}

test(
  "`Ingest` fails its layers with WORKER_FAILED when a worker dies, whichever it is, and another Ingest on the same pool works",
  { timeout: 20_000 },
  async () => {
    await using directory = await temporaryDirectory();
    const [chunks, staging] = [join(directory.path, "chunks"), join(directory.path, "staging")];
    mkdirSync(chunks);
    mkdirSync(staging);
    const owner = { uid: process.geteuid!(), gid: process.getegid!() };
    const layer = await buildLayer([{ path: "f", content: Buffer.alloc(3_000_000, "x") }], { compression: "none" });
    const bytes = layer.content as Buffer;
    let ingest: Ingest | undefined;
    const pool: WorkerPool = new WorkerPool(MODULE, { size: 2, onLost: (error) => ingest?.fail(error) });
    for (const worker of [0, 1, undefined]) {
      ingest = new Ingest({ pool, chunks, staging, writer: { profile: "overlay", owner, trustedSince: 0 } });
      const blob = async function* (): AsyncGenerator<Uint8Array> {
        yield bytes.subarray(0, 1_500_000);
        if (worker !== undefined) pool.run("die", undefined, { worker }).catch(() => undefined);
        if (worker !== undefined) await new Promise((resolve) => setTimeout(resolve, 300));
        yield bytes.subarray(1_500_000);
      };
      const result = ingest.ingest(requestFor(layer, join(staging, `layer-${worker}`), blob()));
      if (worker !== undefined) await assert.rejects(result, (error) => ShaleError.is(error, "WORKER_FAILED"));
      else assert.equal((await result).entries, 2);
      assert.equal(ingest.failed, worker !== undefined);
    }
    assert.ok(readdirSync(chunks).length === 1);
    await pool.close();
    ingest?.close();
  },
);
