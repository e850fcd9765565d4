/** Verifies that a file is the blob of a manifest and unpacks to the diff ID. Stores nothing. Runs in a worker. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { sniffCompression } from "../../image/compression.ts";
import { checkLayerDigest, digestAlgorithm, type BlobDigest, type DiffId } from "../../image/digest.ts";
import { createInflater, type Inflater } from "./inflate.ts";
import { LayerBudget, type LayerLimits } from "../layer/layer-limits.ts";

export interface VerifyBlobRequest {
  readonly path: string;
  readonly blobDigest: BlobDigest;
  /** Bytes, by the descriptor. */
  readonly blobBytes: number;
  readonly diffId: DiffId;
  readonly limits: LayerLimits;
}

const INPUT_BYTES = 256 * 1024;
const OUTPUT_BYTES = 1024 * 1024;

/** @throws DIGEST_MISMATCH, LAYER_CORRUPT, LIMIT_LAYER_BYTES, LIMIT_RATIO */
export async function verifyBlob({ path, blobDigest, blobBytes, diffId, limits }: VerifyBlobRequest): Promise<void> {
  const fd = openSync(path, "r");
  try {
    // the blob digest first: wrong bytes prove nothing and need not be unpacked
    const hash = createHash(digestAlgorithm(blobDigest));
    for (const input of pieces(fd)) hash.update(input);
    checkLayerDigest("blob", blobDigest, `${digestAlgorithm(blobDigest)}:${hash.digest("hex")}`);
    checkLayerDigest("diff ID", diffId, await unpackedDigest(fd, new LayerBudget(limits, blobBytes)));
  } finally {
    closeSync(fd);
  }
}

async function unpackedDigest(fd: number, budget: LayerBudget): Promise<string> {
  const hash = createHash("sha256");
  const output = Buffer.allocUnsafeSlow(OUTPUT_BYTES);
  let inflater: Inflater | undefined;
  const step = async (input: Uint8Array, last: boolean): Promise<boolean> => {
    inflater ??= createInflater(sniffCompression(input));
    let rest = input;
    for (;;) {
      const { consumed, produced } = await inflater.step(rest, output, last);
      hash.update(output.subarray(0, produced));
      budget.addBytes(produced);
      rest = rest.subarray(consumed);
      if (consumed === 0 && produced === 0) return rest.length === 0;
      if (rest.length === 0 && !last && produced < output.length) return true;
    }
  };
  try {
    for (const input of pieces(fd)) await step(input, false);
    await step(new Uint8Array(0), true);
    return `sha256:${hash.digest("hex")}`;
  } finally {
    inflater?.close();
  }
}

/** Reads the whole file from its start; reuses the memory. */
function* pieces(fd: number): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(INPUT_BYTES);
  for (let at = 0; ;) {
    const read = readSync(fd, buffer, 0, buffer.length, at);
    if (read === 0) return;
    at += read;
    yield buffer.subarray(0, read);
  }
}
