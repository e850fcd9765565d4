import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { sniffCompression } from "../../src/image/compression.ts";

for (const [head, compression] of [
  ["1f8b", "gzip"],
  ["28b52ffd", "zstd"],
  ["502a4d18", "zstd"],
  ["5f2a4d18", "zstd"],
  ["602a4d18", "none"],
  ["4f2a4d18", "none"],
  ["28b52f", "none"],
  ["", "none"],
] as const) {
  test(`\`sniffCompression()\` recognizes "${head}" as ${compression}`, () => {
    assert.equal(sniffCompression(Buffer.from(head, "hex")), compression);
  });
}

test("`sniffCompression()` recognizes what node:zlib writes, in a view of a larger buffer", () => {
  const sniff = (bytes: Buffer): string => sniffCompression(Buffer.concat([Buffer.alloc(3), bytes]).subarray(3));
  assert.deepEqual([sniff(gzipSync("a")), sniff(zstdCompressSync("a")), sniff(Buffer.from("a tar"))], ["gzip", "zstd", "none"]);
});
