/**
 * The golden vectors of format/vectors/: made anew and compared (`--update` writes them), the valid ones decoded by two MessagePack
 * libraries that share no code with ours and with one another, every rejection refused.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decode } from "@msgpack/msgpack";
import { unpack } from "msgpackr";
import { encodeSidecar, SidecarError, verifySidecar } from "../format/index.ts";
import { COLUMNS } from "../format/columns.ts";
import { readColumns, withColumns } from "./sidecar-damage.ts";
import { PROJECT, report } from "./project.ts";
import { largeLayer, SMALL, VALID } from "./vector-layers.ts";
import { REJECTIONS } from "./vector-rejections.ts";

const FOLDER: string = join(PROJECT, "format/vectors");

/** The files of the folder by name. */
export async function makeVectors(): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const small = await encodeSidecar(SMALL);
  const valid: unknown[] = [];
  for (const [name, layer] of Object.entries(VALID)) files.set(`valid-${name}.sidecar`, await encodeSidecar(layer));
  files.set(
    "valid-later-columns.sidecar",
    await withColumns(small, [
      ["fsVerity", Buffer.alloc(64, 7)],
      ["x.later", Buffer.alloc(0)],
    ]),
  );
  for (const [name, bytes] of files) valid.push({ file: name, ...(await describe(bytes)) });
  const large = await encodeSidecar(largeLayer());
  const generated = [{ what: "100,000 entries", ...(await describe(large)), sha256: createHash("sha256").update(large).digest("hex") }];
  const refused: unknown[] = [];
  for (const { name, section, make } of REJECTIONS) {
    const bytes = await make(small);
    const file = `refused-${name}.sidecar`;
    files.set(file, bytes);
    refused.push({ file, section, offset: await offsetOfError(bytes) });
  }
  files.set("vectors.json", Buffer.from(`${JSON.stringify({ valid, generated, refused }, undefined, 2)}\n`));
  return files;
}

async function describe(bytes: Buffer): Promise<Record<string, unknown>> {
  const { count, live, indexed, unknownKeys } = await verifySidecar(bytes);
  return { bytes: bytes.length, count, live, indexed, unknownKeys: unknownKeys.join(" ") };
}

/** Where our reader sees the rule broken; -1 when it sees nothing. */
async function offsetOfError(bytes: Buffer): Promise<number> {
  try {
    await verifySidecar(bytes);
    return -1;
  } catch (error) {
    if (error instanceof SidecarError) return error.offset;
    throw error;
  }
}

/** What the folder has against what it should have, and what the other decoders make of the valid ones. */
export async function checkVectors(made: ReadonlyMap<string, Buffer>, present: ReadonlyMap<string, Buffer>): Promise<string[]> {
  const findings: string[] = [];
  for (const [name, bytes] of made) {
    const there = present.get(name);
    if (!there) findings.push(`format/vectors/${name}: is missing`);
    else if (!there.equals(bytes)) findings.push(`format/vectors/${name}: differs from what is generated`);
    if (name.startsWith("valid-")) findings.push(...decodeBoth(name, bytes));
    if (name.startsWith("refused-") && (await offsetOfError(bytes)) < 0) findings.push(`format/vectors/${name}: is not refused`);
  }
  for (const name of present.keys()) if (!made.has(name)) findings.push(`format/vectors/${name}: is not generated`);
  return findings;
}

/** Both libraries see the same keys in the same order, and each column's bytes where our layout says they are. */
function decodeBoth(name: string, bytes: Buffer): string[] {
  const findings: string[] = [];
  const columns = readColumns(bytes);
  for (const [library, value] of [
    ["msgpackr", unpack(bytes) as Record<string, unknown>],
    ["@msgpack/msgpack", decode(bytes) as Record<string, unknown>],
  ] as const) {
    const keys = Object.keys(value);
    const expected = ["shale", "diffId", "count", "live", "indexed", "lengths", ...COLUMNS];
    if (expected.some((key, at) => keys[at] !== key) || keys.at(-1) !== "sums")
      findings.push(`${name}: ${library} sees the keys ${keys.join()}`);
    if (value["shale"] !== "sidecar/1" || value["count"] !== (value["pathEnd"] as Uint8Array).length / 4)
      findings.push(`${name}: ${library} reads another header`);
    for (const { name: column, start, length } of columns) {
      if (Buffer.compare(value[column] as Uint8Array, bytes.subarray(start, start + length)) !== 0)
        findings.push(`${name}: ${library} reads another ${column}`);
    }
  }
  return findings;
}

async function readVectors(): Promise<Map<string, Buffer>> {
  const names = await readdir(FOLDER).catch(() => []);
  return new Map(await Promise.all(names.map(async (name): Promise<[string, Buffer]> => [name, await readFile(join(FOLDER, name))])));
}

if (import.meta.main) {
  const made = await makeVectors();
  if (process.argv.includes("--update")) {
    await rm(FOLDER, { recursive: true, force: true });
    await mkdir(FOLDER);
    for (const [name, bytes] of made) await writeFile(join(FOLDER, name), bytes);
  }
  report("vectors", await checkVectors(made, await readVectors()));
}
