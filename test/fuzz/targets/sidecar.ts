/** Sidecars and kept headers that were changed, with checksums made right again: an error of their own, or an answer. */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import {
  decodeHeaders,
  encodeHeadersStart,
  encodeSidecar,
  HeadersEncoder,
  HeadersError,
  Sidecar,
  SidecarError,
  verifySidecar,
} from "../../../format/index.ts";
import { resum } from "../../../tools/sidecar-damage.ts";
import { arbitraryLayer } from "../../format/arbitrary-layer.ts";
import { mutate, type Random } from "../random.ts";
import type { Target } from "../target.ts";

export const SIDECAR: Target = {
  name: "sidecar",
  async run(random) {
    const [layer] = fc.sample(arbitraryLayer, { seed: random.below(2 ** 31), numRuns: 1 });
    const indexed = random.once(2);
    const bytes = await encodeSidecar({ ...(indexed ? layer!.indexed : layer!.unindexed), indexed });
    for (let tries = 0; tries < 30; tries++) await readChanged(await changed(bytes, random), random);
  },
};

async function changed(bytes: Buffer, random: Random): Promise<Buffer> {
  const copy = mutate(bytes, random);
  if (random.once(6)) return copy;
  const sums = bytes.length - 16;
  if (copy.length === bytes.length) bytes.copy(copy, sums - 10, sums - 10);
  if (copy.length > 32) await resum(copy);
  return copy;
}

async function readChanged(bytes: Buffer, random: Random): Promise<void> {
  try {
    const sidecar = await Sidecar.fromBytes(bytes);
    if (sidecar.count > 10_000_000) throw new Error("a small file claims many entries");
    for (let left = Math.min(sidecar.count, 200); left > 0; left--) touch(sidecar, random.below(sidecar.count));
    for (const entry of sidecar.tarOrder()) void entry;
    sidecar.readdir("");
    sidecar.lookup("a/b");
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
  }
  try {
    await verifySidecar(bytes);
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
  }
}

function touch(sidecar: Sidecar, entry: number): void {
  sidecar.path(entry);
  sidecar.target(entry);
  sidecar.leader(entry);
  const chunk = sidecar.chunk(entry);
  if (chunk >= 0) sidecar.chunkId(chunk);
  for (const column of ["size", "offset", "mtime", "mtimeNs", "flags", "mode"] as const) {
    if (!Number.isSafeInteger(sidecar[column](entry))) throw new Error(`${column} is no whole number`);
  }
  sidecar.modeAt(sidecar.modeRow(entry));
}

/** The same frame with other operations in it. (Frames that do not decompress are few: Node 24 loses some memory with each.) */
function reframed(frame: Buffer, random: Random): Buffer {
  if (frame.length === 0) return frame;
  const ops = zstdDecompressSync(frame);
  const changed = random.once(2) ? ops : mutate(ops, random);
  return zstdCompressSync(changed, { params: { [constants.ZSTD_c_checksumFlag]: 1 }, pledgedSrcSize: changed.length });
}

const DIFF_ID: Buffer = Buffer.alloc(32, 7);

export const KEPT_HEADERS: Target = {
  name: "headers",
  async run(random) {
    const frames = random.list(3, () => {
      const encoder = new HeadersEncoder();
      for (let left = random.below(6); left > 0; left--) {
        const kind = random.below(4);
        if (kind === 0) encoder.data();
        else if (kind === 1) {
          encoder.extent(random.below(5000), 1 + random.below(5000));
          encoder.endData();
        } else encoder.literal(Buffer.alloc(random.below(2000), random.below(256)));
      }
      return reframed(Buffer.from(encoder.frame()), random);
    });
    const whole = Buffer.concat([encodeHeadersStart(DIFF_ID), ...frames]);
    const bytes = random.once(50) ? mutate(whole, random) : whole;
    let total = 0;
    try {
      for await (const op of decodeHeaders([bytes], DIFF_ID)) if (op.kind === "literal") total += op.bytes.length;
    } catch (error) {
      if (!(error instanceof HeadersError)) throw error;
    }
    if (total > 64 << 20) throw new Error(`${bytes.length} bytes became ${total}`);
  },
};
