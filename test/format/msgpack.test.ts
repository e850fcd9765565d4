import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { decodeMap, decodeUint, encodeMap, encodeMapStart, encodeUint, type Schema } from "../../format/msgpack.ts";

const SCHEMA = { kind: "text", size: "uint", id: "bin" } as const satisfies Schema;
const refuse = (why: string): Error => new SyntaxError(`the value ${why}`);

const arbitraryUint = fc.oneof(fc.nat(300), fc.nat(70_000), fc.nat(0xffff_ffff), fc.maxSafeNat());
const arbitraryMap = fc.record(
  { kind: fc.string({ unit: "grapheme-ascii", maxLength: 300 }), size: arbitraryUint, id: fc.uint8Array({ maxLength: 300 }) },
  { noNullPrototype: true },
);

/** What another library reads, its bins without Node's Buffer around them. */
function readByOther(bytes: Uint8Array): unknown {
  return Object.fromEntries(
    Object.entries(decode(bytes) as object).map(([key, value]) => [
      key,
      value instanceof Uint8Array ? Uint8Array.from(value) : (value as unknown),
    ]),
  );
}

describe("MessagePack", () => {
  it("`encodeMap()` writes what another library writes and reads, and `decodeMap()` reads it back", () => {
    fc.assert(
      fc.property(arbitraryMap, (map) => {
        const bytes = encodeMap(SCHEMA, map);
        assert.deepEqual(readByOther(bytes), map);
        if (map.size <= 0xffff_ffff) assert.deepEqual(bytes, Buffer.from(encode(map)));
        const again = decodeMap(SCHEMA, bytes, refuse);
        assert.deepEqual({ ...again, id: Uint8Array.from(again.id) }, map);
      }),
    );
  });

  it("`encodeUint()` writes up to 2^32 - 1 what another library writes, above that an int 64, and `decodeUint()` reads both", () => {
    for (const value of [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1, Number.MAX_SAFE_INTEGER]) {
      if (value <= 0xffff_ffff) assert.deepEqual(encodeUint(value), Buffer.from(encode(value)), String(value));
      else assert.equal(encodeUint(value)[0], 0xd3);
      assert.equal(decode(encodeUint(value)), value);
      assert.equal(decodeUint(encodeUint(value), refuse), value);
    }
  });

  it("`encodeMapStart()` leaves room for keys that the caller appends", () => {
    const start = encodeMapStart(SCHEMA, { kind: "a", size: 1, id: new Uint8Array(2) }, 1);
    const whole = Buffer.concat([start, Buffer.from(encode("more")), Buffer.from(encode(7))]);
    assert.deepEqual(readByOther(whole), { kind: "a", size: 1, id: new Uint8Array(2), more: 7 });
  });

  it("`decodeMap()` throws the caller's error for every other spelling", () => {
    const map = { kind: "k", size: 7, id: new Uint8Array([1, 2]) };
    const right = encodeMap(SCHEMA, map);
    const wrong: readonly (readonly [string, Uint8Array])[] = [
      ["no bytes", new Uint8Array(0)],
      ["a list", encode([map])],
      ["text", encode("map")],
      ["null", encode(null)],
      ["a key more", encode({ ...map, more: 1 })],
      ["a key less", encode({ kind: "k", size: 7 })],
      ["another order", encode({ size: 7, kind: "k", id: map.id })],
      ["a float", encode({ ...map, size: 7.5 })],
      ["a whole float", encode({ ...map, size: 7 }, { forceIntegerToFloat: true })],
      ["a negative integer", encode({ ...map, size: -7 })],
      ["an integer above 2^53", encode({ ...map, size: 2n ** 60n }, { useBigInt64: true })],
      ["a boolean", encode({ ...map, size: true })],
      ["text for a bin", encode({ ...map, id: "ab" })],
      ["text that is not ASCII", encode({ ...map, kind: "\u00e9" })],
      ["a date, which is an extension", encode({ ...map, size: new Date(0) })],
      ["bytes after the map", Buffer.concat([right, Buffer.from([0])])],
      ["a map that ends early", right.subarray(0, -1)],
      [
        "a wide integer",
        Buffer.concat([right.subarray(0, right.indexOf("size") + 4), Buffer.from([0xcc, 7]), right.subarray(right.indexOf("size") + 5)]),
      ],
      ["the key `__proto__`", encode({ kind: "k", size: 7, ["__proto__"]: 1 })],
    ];
    for (const [what, bytes] of wrong) assert.throws(() => decodeMap(SCHEMA, bytes, refuse), SyntaxError, what);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          const read = decodeMap(SCHEMA, bytes, refuse);
          assert.deepEqual(encodeMap(SCHEMA, read), Buffer.from(bytes));
        } catch (error) {
          assert.ok(error instanceof SyntaxError, String(error));
        }
      }),
    );
  });

  it("`encodeMap()` refuses what the format cannot hold", () => {
    const map = { kind: "k", size: 7, id: new Uint8Array(0) };
    for (const size of [-1, -0, 0.5, 2 ** 53, Number.NaN]) assert.throws(() => encodeMap(SCHEMA, { ...map, size }), RangeError);
    assert.throws(() => encodeMap(SCHEMA, { ...map, kind: "\n" }), RangeError);
  });
});
