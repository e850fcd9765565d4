/**
 * The direction of imports. Inside src/ an import points only to what stands above in this list, to the same folder, or
 * to format/:
 *
 *     errors.ts bytes.ts  system/  image/  tar/  store/  source/  ingest/  tree/  view/  mount/  inspect/  gc/  dump/  export/  fsck/
 *     bundle/  pull/  session/  api/  index.ts  cli/
 *
 * with three narrower rules: format/ imports nothing of the project but itself, cli/ sees the public API (index.ts, or the
 * parts of it in boot.ts and progress.ts) and no folder behind it, source/ knows no store. Barrels stand only where a package entry point is
 * or the command line enters. oxlint finds cycles (import/no-cycle).
 */
import { posix } from "node:path";
import { readSources, report } from "./project.ts";
import type { Sources } from "./project.ts";

const ORDER: readonly string[] = [
  "errors.ts",
  "bytes.ts",
  "system",
  "image",
  "tar",
  "store",
  "source",
  "ingest",
  "tree",
  "view",
  "mount",
  "inspect",
  "gc",
  "dump",
  "export",
  "fsck",
  "bundle",
  "pull",
  "session",
  "api",
];

/** Areas whose view is narrower than their place in the list. */
const NARROW: ReadonlyMap<string, readonly string[]> = new Map([
  ["format", ["format"]],
  ["errors.ts", []],
  ["bytes.ts", ["errors.ts", "format"]],
  ["cli", ["cli", "index.ts", "boot.ts", "progress.ts", "errors.ts", "bytes.ts"]],
  ["testing", ["testing", "errors.ts", "bytes.ts", "image", "format"]],
  ["source", ["source", "errors.ts", "bytes.ts", "system", "image", "tar", "format"]],
  ["index.ts", [...ORDER, "format"]],
  ["boot.ts", ORDER],
  ["progress.ts", ORDER],
]);

const BARRELS: readonly string[] = ["src/index.ts", "src/boot.ts", "src/progress.ts", "src/testing/index.ts", "format/index.ts"];

/** Static imports and re-exports as oxfmt writes them, and imports at run time with a literal. */
const IMPORT: RegExp = /^(?:import|export)\b(?:[^;"'=(]*\bfrom)?\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;
const RE_EXPORT: RegExp = /^export\b[^;"'=(]*\bfrom ["']/m;

/** One finding a broken rule, with the path first; `sources` are the files of src/ and format/. */
export function checkImports(sources: Sources): string[] {
  const graph = new Map([...sources].map(([path, text]) => [path, localImports(path, text)]));
  return [...findDirections(graph), ...findBarrels(sources)];
}

function localImports(path: string, text: string): string[] {
  const names = [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? "");
  return names.filter((name) => name.startsWith(".")).map((name) => posix.join(posix.dirname(path), name));
}

function findDirections(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const findings: string[] = [];
  for (const [path, targets] of graph) {
    const allowed = allowedAreas(areaOf(path));
    for (const target of targets) {
      if (!allowed.includes(areaOf(target))) findings.push(`${path}: imports ${target}, which is not above it`);
    }
  }
  return findings;
}

/** `format`, a folder of src/, or a file of src/ by its name; what lies elsewhere is an area that nobody may import. */
function areaOf(path: string): string {
  if (path.startsWith("format/")) return "format";
  return path.startsWith("src/") ? (path.split("/")[1] ?? path) : path;
}

function allowedAreas(area: string): readonly string[] {
  return NARROW.get(area) ?? [...ORDER.slice(0, ORDER.indexOf(area) + 1), "format"];
}

function findBarrels(sources: Sources): string[] {
  const barrels = [...sources].filter(([path, text]) => RE_EXPORT.test(text) && !BARRELS.includes(path));
  return barrels.map(([path]) => `${path}: exports from another file; only ${BARRELS.join(", ")} may`);
}

if (import.meta.main) report("imports", checkImports(await readSources(["src", "format"], ".ts")));
