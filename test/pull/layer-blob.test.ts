import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { parseBlobDigest } from "../../src/image/digest.ts";
import { parseReference } from "../../src/image/reference.ts";
import { LayerBlob } from "../../src/pull/layer-blob.ts";
import type { Source } from "../../src/source/source.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const CHUNK_BYTES = 200_000;
const CHUNKS = 3;

/** A source of this one blob, whose chunks have buffers of their own. */
function sourceOf(chunks: readonly Uint8Array[]): Source {
  const readBlob = async function* (): AsyncGenerator<Uint8Array> {
    yield* chunks;
  };
  return { readBlob } as Partial<Source> as Source;
}

test("`LayerBlob` frees a chunk when the next one is asked for, and not before; the spool has all of them", async () => {
  await using directory = await temporaryDirectory();
  const chunks = Array.from({ length: CHUNKS }, (_, index) => Buffer.allocUnsafeSlow(CHUNK_BYTES).fill(index));
  const expected = Buffer.concat(chunks);
  const digest = parseBlobDigest(`sha256:${"0".repeat(64)}`);
  const make = (source: Source): LayerBlob =>
    new LayerBlob({
      source,
      reference: parseReference("localhost/some/image"),
      descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: expected.length },
      spool: join(directory.path, "spool"),
      kept: join(directory.path, "kept"),
      keep: false,
      force: false,
      signal: AbortSignal.timeout(60_000),
      onEvent: () => {},
      onResumed: () => {},
    });
  const got: Buffer[] = [];
  {
    using blob = make(sourceOf(chunks));
    for await (const chunk of blob.bytes()) {
      assert.deepEqual(
        chunks.map(({ length }) => length),
        chunks.map((_, index) => (index < got.length ? 0 : CHUNK_BYTES)),
      );
      got.push(Buffer.from(chunk));
    }
    assert.equal(blob.fetched, expected.length);
  }
  assert.ok(Buffer.concat(got).equals(expected));
  using again = make(sourceOf([]));
  const replayed: Uint8Array[] = [];
  for await (const chunk of again.bytes()) replayed.push(Uint8Array.from(chunk));
  assert.ok(Buffer.concat(replayed).equals(expected));
});
