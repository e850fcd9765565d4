import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { constants, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { decodeHeaders, encodeHeadersStart, HeadersEncoder, HeadersError, OpDecoder } from "../../format/index.ts";
import type { HeadersOp } from "../../format/index.ts";

const diffId: Buffer = Buffer.alloc(32, 0xd1);

const op: fc.Arbitrary<HeadersOp> = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => ({ kind: "literal" as const, bytes: Buffer.from(bytes) })),
  fc.constant({ kind: "data" as const }),
  fc.record(
    { kind: fc.constant("extent" as const), offset: fc.maxSafeNat(), length: fc.integer({ min: 1, max: 2 ** 51 - 1 }) },
    { noNullPrototype: true },
  ),
  fc.constant({ kind: "end-data" as const }),
);

describe("kept headers", () => {
  it("`decodeHeaders()` gives back the operations, however frames and bytes are cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(op)), fc.integer({ min: 1, max: 300 }), async (stretches, cut) => {
        const encoder = new HeadersEncoder();
        const frames = stretches.map((ops) => encode(encoder, ops).frame());
        const file = Buffer.concat([encodeHeadersStart(diffId), ...frames]);
        assert.deepEqual(merge(await collect(pieces(file, cut))), merge(stretches.flat()));
      }),
    );
  });

  it("`frame()` cuts what is long into frames that the decoder takes", async () => {
    const bytes = randomBytes(9_000_000);
    const encoder = new HeadersEncoder();
    encoder.literal(bytes);
    const file = Buffer.concat([encodeHeadersStart(diffId), encoder.frame()]);
    const ops = merge(await collect(pieces(file, 65_536)));
    assert.deepEqual(ops, [{ kind: "literal", bytes }]);
    assert.equal(encoder.frame().length, 0);
  });

  it("`decodeHeaders()` notices a flipped bit anywhere", async () => {
    const file = sample();
    for (let at = 0; at < file.length; at++) {
      const damaged = Buffer.from(file);
      damaged[at] = (damaged[at] ?? 0) ^ 4;
      await assert.rejects(collect([damaged]), HeadersError, `byte ${at}`);
    }
  });

  it("`decodeHeaders()` notices a file that ends within its start or a frame", async () => {
    const file = sample();
    for (let length = 0; length < file.length; length++) {
      if (length !== 48 && length !== endOfFirstFrame)
        await assert.rejects(collect([file.subarray(0, length)]), HeadersError, `length ${length}`);
    }
  });

  it("`decodeHeaders()` refuses another layer's headers", async () => {
    await assert.rejects(async () => {
      for await (const _ of decodeHeaders([sample()], Buffer.alloc(32))) assert.fail();
    }, HeadersError);
  });

  it("`decodeHeaders()` refuses a frame that holds more than it may, or no checksum", async () => {
    const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
    for (const frame of [zstdCompressSync(Buffer.alloc(2 ** 22 + 1), checked), zstdCompressSync(Buffer.from([1]))])
      await assert.rejects(collect([encodeHeadersStart(diffId), frame]), HeadersError);
  });

  it("`OpDecoder` refuses numbers and operations that there are not", () => {
    const refused = [
      [0x00], // a literal of nothing
      [0x02], // an extent of nothing
      [0x05], // data with an argument
      [0x07], // end-data with an argument
      [0x81, 0x00], // longer than it need be
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], // past 2^53
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80], // too long
    ];
    for (const bytes of refused) assert.throws(() => [...new OpDecoder().push(Buffer.from(bytes))], HeadersError, String(bytes));
  });

  it("`OpDecoder.end()` refuses operations that end within one", () => {
    for (const bytes of [[0x81], [0x08, 1], [0x06], [0x06, 0x81]]) {
      const decoder = new OpDecoder();
      assert.deepEqual(
        [...decoder.push(Buffer.from(bytes))].filter(({ kind }) => kind !== "literal"),
        [],
      );
      assert.throws(() => decoder.end(), HeadersError, String(bytes));
    }
  });

  it("`HeadersEncoder` refuses numbers that it cannot hold", () => {
    const encoder = new HeadersEncoder();
    for (const [offset, length] of [
      [-1, 1],
      [0.5, 1],
      [0, 2 ** 52],
      [2 ** 53, 1],
    ] as const)
      assert.throws(() => encoder.extent(offset, length), RangeError);
  });
});

/** A layer's headers may end with any frame: that one is missing shows in the layer's digest. */
const endOfFirstFrame: number = 48 + firstFrame(new HeadersEncoder()).length;

function sample(): Buffer {
  const encoder = new HeadersEncoder();
  const first = firstFrame(encoder);
  encoder.extent(4096, 512);
  encoder.endData();
  encoder.literal(Buffer.alloc(1024));
  return Buffer.concat([encodeHeadersStart(diffId), first, encoder.frame()]);
}

function firstFrame(encoder: HeadersEncoder): Buffer {
  encoder.literal(Buffer.from("header"));
  encoder.data();
  return encoder.frame();
}

function encode(encoder: HeadersEncoder, ops: readonly HeadersOp[]): HeadersEncoder {
  for (const one of ops) {
    if (one.kind === "literal") encoder.literal(one.bytes);
    else if (one.kind === "data") encoder.data();
    else if (one.kind === "extent") encoder.extent(one.offset, one.length);
    else encoder.endData();
  }
  return encoder;
}

async function collect(file: Iterable<Uint8Array>): Promise<HeadersOp[]> {
  const ops: HeadersOp[] = [];
  for await (const one of decodeHeaders(file, diffId)) ops.push(one.kind === "literal" ? { ...one, bytes: Buffer.from(one.bytes) } : one);
  return ops;
}

/** Neighbouring literals as one. */
function merge(ops: readonly HeadersOp[]): HeadersOp[] {
  const merged: HeadersOp[] = [];
  let literal: Buffer[] = [];
  const flush = (): void => {
    if (literal.length > 0) merged.push({ kind: "literal", bytes: Buffer.concat(literal) });
    literal = [];
  };
  for (const one of ops) {
    if (one.kind === "literal") literal.push(one.bytes);
    else {
      flush();
      merged.push(one);
    }
  }
  flush();
  return merged;
}

function* pieces(bytes: Buffer, length: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}
