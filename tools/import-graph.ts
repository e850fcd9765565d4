/**
 * Draws the imports between the folders of src/ and format/ into docs/architecture.md, with dependency-cruiser, types included. Fails if
 * files import each other in a circle. dependency-cruiser reads TypeScript with a TypeScript before 7, so npm brings both.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROJECT, readProjectFile } from "./project.ts";

const DOCUMENT = "docs/architecture.md";
const MARKERS: RegExp = /(<!-- graph -->\n).*?(<!-- \/graph -->)/s;

const PACKAGES: readonly string[] = ["--package=dependency-cruiser@18.7.2", "--package=typescript@6.0"];
const FOLDERS: readonly string[] = ["--collapse", "^(format|src/[^/]+)"];
/** Files that belong to no folder: entry points, and what every folder uses. `testing/` is for users' tests. */
const EXCLUDED: readonly string[] = ["--exclude", "^src/([a-z]+[.]ts$|testing/)"];

/** Returns the document as it is, and with the graph of the sources. @throws if there is a cycle */
export async function drawGraph(): Promise<{ readonly before: string; readonly after: string }> {
  cruise("--output-type", "err");
  const graph = cruise("--output-type", "mermaid", ...FOLDERS, ...EXCLUDED);
  const before = await readProjectFile(DOCUMENT);
  if (!MARKERS.test(before)) throw new Error(`${DOCUMENT} has no markers <!-- graph --> and <!-- /graph -->`);
  const block = `\n\`\`\`mermaid\n${graph.trim()}\n\`\`\`\n\n`;
  return { before, after: before.replace(MARKERS, (_, start: string, end: string) => start + block + end) };
}

function cruise(...options: readonly string[]): string {
  // not from PROJECT: npm would take a TypeScript that lies there, which dependency-cruiser does not find
  const script = 'cd "$0" && exec depcruise --config .dependency-cruiser.json "$@" src format';
  const args = ["exec", "--yes", "--loglevel=error", ...PACKAGES, "--", "sh", "-c", script, PROJECT, ...options];
  const { status, stdout, stderr } = spawnSync("npm", args, { cwd: tmpdir(), encoding: "utf8" });
  if (status !== 0 || stdout.includes("missing-tsc-transpiler")) throw new Error(`dependency-cruiser failed:\n${stdout}${stderr}`);
  return stdout;
}

if (import.meta.main) writeFileSync(join(PROJECT, DOCUMENT), (await drawGraph()).after);
