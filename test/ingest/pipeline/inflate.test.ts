/** Both ways to decompress give the same bytes and refuse the same blobs, however input and output are cut. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { ShaleError } from "../../../src/errors.ts";
import { sniffCompression } from "../../../src/image/compression.ts";
import { createInflater } from "../../../src/ingest/pipeline/inflate.ts";

interface Cuts {
  readonly input: number;
  readonly output: number;
  readonly documentedOnly: boolean;
}

async function inflate(blob: Buffer, { input, output, documentedOnly }: Cuts): Promise<Buffer> {
  const inflater = createInflater(sniffCompression(blob), { documentedOnly });
  const pieces: Buffer[] = [];
  const room = Buffer.alloc(output);
  let at = 0;
  try {
    for (let idle = 0; idle < 3;) {
      const piece = blob.subarray(at, at + input);
      const { consumed, produced } = await inflater.step(piece, room, piece.length === 0);
      at += consumed;
      pieces.push(Buffer.from(room.subarray(0, produced)));
      if (consumed === 0 && produced === 0 && piece.length === 0) return Buffer.concat(pieces);
      idle = consumed === 0 && produced === 0 ? idle + 1 : 0;
    }
    throw new Error("the inflater makes no progress");
  } finally {
    inflater.close();
  }
}

const text = Buffer.from("layers upon layers of slate ".repeat(20_000));
const random = randomBytes(300_000);
const skippable = Buffer.concat([Buffer.from("502a4d18", "hex"), Buffer.from([5, 0, 0, 0]), Buffer.from("skip!")]);

const GOOD: readonly { name: string; blob: Buffer; bytes: Buffer }[] = [
  { name: "gzip of text", blob: gzipSync(text), bytes: text },
  { name: "gzip of noise", blob: gzipSync(random), bytes: random },
  { name: "gzip of nothing", blob: gzipSync(Buffer.alloc(0)), bytes: Buffer.alloc(0) },
  {
    name: "three gzip members, one of them empty",
    blob: Buffer.concat([gzipSync(text), gzipSync(Buffer.alloc(0)), gzipSync(random)]),
    bytes: Buffer.concat([text, random]),
  },
  {
    name: "2,000 empty gzip members and one more",
    blob: Buffer.concat([...Array.from({ length: 2000 }, () => gzipSync(Buffer.alloc(0))), gzipSync(Buffer.from("end"))]),
    bytes: Buffer.from("end"),
  },
  { name: "gzip with NUL padding", blob: Buffer.concat([gzipSync(text), Buffer.alloc(100_000)]), bytes: text },
  { name: "zstd of text", blob: zstdCompressSync(text), bytes: text },
  { name: "zstd of noise", blob: zstdCompressSync(random), bytes: random },
  {
    name: "three zstd frames, one of them empty",
    blob: Buffer.concat([zstdCompressSync(random), zstdCompressSync(Buffer.alloc(0)), zstdCompressSync(text)]),
    bytes: Buffer.concat([random, text]),
  },
  {
    name: "zstd with skippable frames before and behind",
    blob: Buffer.concat([skippable, zstdCompressSync(text), skippable, zstdCompressSync(random), skippable]),
    bytes: Buffer.concat([text, random]),
  },
  { name: "no compression", blob: text, bytes: text },
];

const CUTS: readonly Omit<Cuts, "documentedOnly">[] = [
  { input: 65_536, output: 1_048_576 },
  { input: 65_536, output: 4096 },
  { input: 333, output: 1_048_576 },
];

/** Behind the end of each member and frame, in the middle of what follows, at each byte. */
const SPLIT: readonly { name: string; head: Buffer; tail: Buffer }[] = [
  { name: "gzip members", head: gzipSync("first "), tail: gzipSync("second") },
  { name: "a gzip member and padding", head: gzipSync("first "), tail: Buffer.alloc(20) },
  { name: "zstd frames", head: zstdCompressSync(Buffer.from("first ")), tail: zstdCompressSync(Buffer.from("second")) },
  { name: "a skippable frame and zstd", head: skippable, tail: zstdCompressSync(Buffer.from("second")) },
  { name: "zstd and a skippable frame", head: zstdCompressSync(Buffer.from("first ")), tail: skippable },
];

for (const documentedOnly of [false, true]) {
  const way = documentedOnly ? "the documented stream" : "the handle";
  for (const { name, blob, bytes } of GOOD) {
    test(`\`createInflater()\` by ${way} inflates ${name}, however it is cut`, async () => {
      for (const cuts of CUTS) assert.ok((await inflate(blob, { ...cuts, documentedOnly })).equals(bytes), JSON.stringify(cuts));
    });
  }

  for (const { name, head, tail } of SPLIT) {
    test(`\`createInflater()\` by ${way} inflates ${name} that are split at any byte`, async () => {
      const blob = Buffer.concat([head, tail]);
      const whole = await inflate(blob, { input: blob.length, output: 4096, documentedOnly });
      for (let input = 1; input < blob.length; input++) {
        for (const output of [1, 6, 4096]) {
          assert.deepEqual(await inflate(blob, { input, output, documentedOnly }), whole, `${input} ${output}`);
        }
      }
    });
  }

  const BAD: readonly { name: string; blob: Buffer }[] = [
    { name: "gzip with garbage behind it", blob: Buffer.concat([gzipSync(text), Buffer.from("garbage")]) },
    { name: "gzip with garbage behind padding", blob: Buffer.concat([gzipSync(text), Buffer.alloc(50), Buffer.from("garbage")]) },
    { name: "a gzip member behind padding", blob: Buffer.concat([gzipSync(text), Buffer.alloc(65_536), gzipSync(text)]) },
    { name: "a second gzip member cut off", blob: Buffer.concat([gzipSync(text), gzipSync(random).subarray(0, 5000)]) },
    { name: "gzip without its last byte", blob: gzipSync(text).subarray(0, -1) },
    { name: "gzip without its footer", blob: gzipSync(text).subarray(0, -8) },
    { name: "a gzip magic", blob: Buffer.from("1f8b0800", "hex") },
    { name: "gzip with a wrong length", blob: patched(gzipSync(text), -1) },
    { name: "zstd with garbage behind it", blob: Buffer.concat([zstdCompressSync(text), Buffer.from("garbage")]) },
    { name: "a zstd window of 2^31", blob: Buffer.from("28b52ffd00a8010000", "hex") },
    { name: "zstd nonsense", blob: Buffer.concat([Buffer.from("28b52ffd", "hex"), Buffer.alloc(50, 0xff)]) },
  ];
  for (const { name, blob } of BAD) {
    test(`\`createInflater()\` by ${way} refuses ${name}`, async () => {
      for (const cuts of CUTS)
        await assert.rejects(
          inflate(blob, { ...cuts, documentedOnly }),
          (error) => ShaleError.is(error, "LAYER_CORRUPT"),
          JSON.stringify(cuts),
        );
    });
  }

  test(`\`createInflater()\` by ${way} never passes a cut-off zstd frame as whole`, async () => {
    const blob = zstdCompressSync(random);
    for (const length of [5, 20, 1000, blob.length - 1]) {
      const whole = await inflate(blob.subarray(0, length), { input: 65_536, output: 65_536, documentedOnly }).catch(
        (error: unknown) => error,
      );
      assert.ok(ShaleError.is(whole, "LAYER_CORRUPT") || !(whole as Buffer).equals(random), String(length));
    }
  });
}

function patched(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at < 0 ? copy.length + at : at]! ^= 1;
  return copy;
}
