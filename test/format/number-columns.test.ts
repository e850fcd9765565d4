import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { littleEndian, NumberColumns } from "../../format/number-columns.ts";

describe("NumberColumns", () => {
  it("`grown()` has twice the room, and every word that was there", () => {
    const columns = new NumberColumns(3);
    const arrays = (of: NumberColumns): [string, Uint8Array | Uint16Array | Uint32Array][] =>
      Object.entries(of).filter((entry): entry is [string, Uint8Array] => ArrayBuffer.isView(entry[1]));
    for (const [, words] of arrays(columns)) words.forEach((_, at) => (words[at] = at + 1));
    const grown = columns.grown();
    assert.equal(grown.room, 6);
    assert.equal(arrays(grown).length, 9);
    const before = new Map(arrays(columns));
    for (const [name, words] of arrays(grown)) {
      const old = before.get(name) ?? [];
      assert.deepEqual([...words], [...old, ...Array.from({ length: old.length }, () => 0)], name);
    }
  });

  it("`littleEndian()` gives the first words as the file has them", () => {
    assert.deepEqual(littleEndian(Uint32Array.of(0x01020304, 0xfffefdfc, 7), 2), Buffer.from("04030201fcfdfeff", "hex"));
    assert.deepEqual(littleEndian(Uint16Array.of(7, 0x0102, 0xfffe).subarray(1)), Buffer.from("0201feff", "hex"));
  });
});
