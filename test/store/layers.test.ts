import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { parseDiffId } from "../../src/image/digest.ts";
import { decodeLayerRecord, encodeLayerRecord, type LayerRecord } from "../../src/store/layers.ts";

const record: LayerRecord = {
  diffId: parseDiffId(`sha256:${"d1".repeat(32)}`),
  size: 2 ** 40,
  entries: 27_000,
  indexed: true,
  bootId: "00000000-0000-4000-8000-000000000000",
};
const fields = { diffId: Buffer.alloc(32, 0xd1), size: 7, entries: 1, indexed: 1, bootId: record.bootId };

test("a layer record is read as it was written", () => {
  for (const indexed of [true, false])
    assert.deepEqual(decodeLayerRecord(encodeLayerRecord({ ...record, indexed })), { ...record, indexed });
  assert.deepEqual(decodeLayerRecord(encode(fields)), { ...record, size: 7, entries: 1 });
});

for (const [what, bytes] of [
  ["no bytes", new Uint8Array(0)],
  ["JSON", Buffer.from(JSON.stringify(record))],
  ["a short diff ID", encode({ ...fields, diffId: Buffer.alloc(31) })],
  ["a diff ID of text", encode({ ...fields, diffId: record.diffId })],
  ["a size of text", encode({ ...fields, size: "7" })],
  ["a negative number of entries", encode({ ...fields, entries: -1 })],
  ["another indexed than 0 and 1", encode({ ...fields, indexed: 2 })],
  ["a boot id that is none", encode({ ...fields, bootId: "another" })],
  ["a field less", encode({ ...fields, bootId: undefined }, { ignoreUndefined: true })],
  ["a field more", encode({ ...fields, later: 1 })],
] as const) {
  test(`a layer record with ${what} is refused`, () => {
    assert.equal(decodeLayerRecord(bytes), undefined);
  });
}
