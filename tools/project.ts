/** What the project's own checks share: where the project is, its files, and how findings are told. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the checkout. The tools run compiled, from dist/tools/. */
export const PROJECT: string = fileURLToPath(new URL("../../", import.meta.url));

/** A project file's path (relative, `/`) and its text. */
export type Sources = ReadonlyMap<string, string>;

/** Every file below these folders whose name ends so, sorted by path. A folder that is not there has no files. */
export async function readSources(folders: readonly string[], ending: string): Promise<Sources> {
  const found: [string, string][] = [];
  for (const folder of folders) {
    for (const path of await listFiles(folder)) {
      if (path.endsWith(ending)) found.push([path, await readProjectFile(path)]);
    }
  }
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

export async function readProjectFile(path: string): Promise<string> {
  return readFile(join(PROJECT, path), "utf8");
}

/** Prints the findings, one a line, and makes the process fail if there are any. */
export function report(check: string, findings: readonly string[]): void {
  for (const finding of findings) process.stderr.write(`${finding}\n`);
  if (findings.length > 0) process.exitCode = 1;
  process.stderr.write(`${check}: ${findings.length === 0 ? "ok" : `${findings.length} found`}\n`);
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(join(PROJECT, folder), { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(PROJECT.length));
}
