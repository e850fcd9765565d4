import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { NumberColumn } from "../../format/number-column.ts";
import type { NumberWidth } from "../../format/number-column.ts";

describe("NumberColumn", () => {
  const row = fc.tuple(fc.nat(255), fc.nat(65_535), fc.nat(0xffff_ffff), fc.nat(2 ** 48 - 1), fc.maxSafeInteger());

  it("`copy()` lays out every width as Buffer's own methods do, and nothing around it", () => {
    fc.assert(
      fc.property(fc.array(row), (rows) => {
        const values = Float64Array.from(rows.flat());
        ([1, 2, 4, 6, 8] as const).forEach((width: NumberWidth, first) => {
          const column = new NumberColumn(values, { width, rows: rows.length, first, stride: 5 });
          const expected = Buffer.alloc(rows.length * width + 2, 0xee);
          rows.forEach((numbers, index) => {
            const at = 1 + index * width;
            if (width === 8) expected.writeBigInt64LE(BigInt(numbers[first] as number), at);
            else expected.writeUIntLE(numbers[first] as number, at, width);
          });
          const target = Buffer.alloc(expected.length, 0xee);
          column.copy(target, 1);
          assert.equal(column.length, rows.length * width);
          assert.deepEqual(target, expected);
        });
      }),
    );
  });
});
