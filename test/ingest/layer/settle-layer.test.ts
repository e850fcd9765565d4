/** Sidecars of layers made up at random: each form follows from the other, and neither breaks a rule of the format. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { indexSidecar, verifySidecar } from "../../../format/index.ts";
import type { ByteString } from "../../../src/bytes.ts";
import { ShaleError } from "../../../src/errors.ts";
import { parseDiffId } from "../../../src/image/digest.ts";
import type { ChunkWriter } from "../../../src/ingest/chunks/chunk-writer.ts";
import { settleLayer } from "../../../src/ingest/layer/settle-layer.ts";
import { chunkId, inodeIdAt } from "../../../src/store/ids.ts";
import type { TarEntry } from "../../../src/tar/entry.ts";
import { entryTableOf, type IngestedEntry } from "../../support/entry-table-of.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const NAMES = ["a", "b", "a-b", "c", "\xe9", "a name of more than some letters", ".wh.a", ".wh.c", ".wh..wh..opq"];
const path: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom("", "./", "/"), fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }), fc.constantFrom("", "", "/"))
  .map(([before, names, after]) => before + names.join("/") + after);

interface Draft {
  readonly kind: TarEntry["kind"];
  readonly path: string;
  readonly target: string;
  readonly content: number;
  readonly mode: number;
}

const draft: fc.Arbitrary<Draft> = fc.record({
  kind: fc.constantFrom("file", "file", "file", "directory", "directory", "symlink", "hardlink", "fifo", "ignored"),
  path,
  target: fc.constantFrom("a", "b", "a/b", "c", "../a"),
  content: fc.nat(3),
  mode: fc.constantFrom(0o644, 0o755),
});

function ingested({ kind, path, target, content, mode }: Draft, index: number): IngestedEntry {
  const size = kind === "file" ? content : 0;
  const numbers = { uid: 0, gid: 0, devMajor: 0, devMinor: 0, mtime: 0, mtimeNs: 0, start: 0, data: 0, end: 0, stored: size };
  const linkPath = (kind === "symlink" || kind === "hardlink" ? target : "") as ByteString;
  const entry: TarEntry = { kind, path: path as ByteString, linkPath, mode, size, xattrs: [], ...numbers };
  const stored =
    size > 0
      ? { chunk: chunkId(Buffer.alloc(32, size)), inode: inodeIdAt(Buffer.alloc(20, size * 8 + (mode & 7)), 0), state: 0 as const }
      : undefined;
  return { entry, offset: stored ? 512 * (index + 1) : 0, stored };
}

/** Nothing is stored once more where all hard links have the attributes of what they link. */
const noWriter = {
  stream() {
    throw new Error("nothing was altered");
  },
} as unknown as ChunkWriter;

test("`settleLayer()` gives sidecars that hold, the indexed one being the index of the other", async () => {
  await using directory = await temporaryDirectory();
  let runs = 0;
  let settled = 0;
  const sidecarOf = async (entries: readonly IngestedEntry[], buildIndex: boolean): Promise<Buffer> => {
    const into = join(directory.path, `${runs++}`);
    mkdirSync(into);
    const request = { diffId: parseDiffId(`sha256:${"0".repeat(64)}`), parts: entryTableOf(entries, 3).parts, directory: into, buildIndex };
    const limits = { pathDepth: 64, metadataBytes: 2 ** 20 };
    await settleLayer({ ...request, tree: undefined, limits, chunks: directory.path }, noWriter);
    return readFileSync(join(into, "sidecar"));
  };
  await fc.assert(
    fc.asyncProperty(fc.array(draft, { maxLength: 15 }), fc.boolean(), async (drafts, oneMode) => {
      // with hard links all files have one mode: then their headers alter nothing
      const kept = drafts.map((one) => (oneMode ? { ...one, mode: 0o644 } : one)).filter(({ kind }) => oneMode || kind !== "hardlink");
      const entries = kept.map(ingested);
      try {
        const [indexed, unindexed] = [await sidecarOf(entries, true), await sidecarOf(entries, false)];
        await verifySidecar(indexed);
        await verifySidecar(unindexed);
        assert.deepEqual(await indexSidecar(unindexed), indexed);
        settled++;
      } catch (error) {
        if (!ShaleError.is(error, "TAR_INVALID")) throw error;
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(settled > 20, `${settled} layers were valid`);
});
