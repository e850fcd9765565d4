import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IdTable } from "../../../src/ingest/layer/id-table.ts";
import { finishes } from "../../support/finishes.ts";

const id = fc.tuple(fc.nat(3), fc.nat(3), fc.constantFrom(0, 0xffff_ffff), fc.nat(2), fc.constant(7));

test("`IdTable` numbers ids as they first come, however few were expected", () => {
  fc.assert(
    fc.property(fc.array(id, { maxLength: 200 }), fc.nat(100), (ids, expected) => {
      const table = new IdTable(5, expected);
      const words = Uint32Array.from(ids.flat());
      const numbers = new Map<string, number>();
      ids.forEach((one, index) => {
        const key = one.join();
        if (!numbers.has(key)) numbers.set(key, numbers.size);
        assert.equal(table.add(words, index * 5), numbers.get(key));
      });
      assert.equal(table.count, numbers.size);
      const distinct = Uint32Array.from([...numbers.keys()].flatMap((key) => key.split(",").map(Number)));
      assert.ok(table.bytes.equals(Buffer.from(distinct.buffer)));
    }),
  );
});

test("`IdTable` takes linear time for ids whose first words are nearly equal", () => {
  const count = 1_000_000;
  const words = new Uint32Array(count * 5);
  for (let index = 0; index < count; index++) words.set([index << 14, 0, index, 0, 0], index * 5);
  const table = new IdTable(5, 0);
  finishes(() => {
    for (let index = 0; index < count; index++) assert.equal(table.add(words, index * 5), index);
  });
});
