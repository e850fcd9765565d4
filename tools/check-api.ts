/**
 * The public names of every entry point, against test/api.snapshot.txt (`--update` writes it). Types are read from the
 * declarations; values come from a real import by the package's own name, so that both must agree.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT, readProjectFile, report } from "./project.ts";

const SNAPSHOT = "test/api.snapshot.txt";

const LIST: RegExp = /^export (type )?\{([^}]*)\}/gm;
const DECLARATION: RegExp = /^export (?:declare )?(?:async |abstract )*(function|const|let|class|interface|type) (\w+)/gm;

/** The names that a .d.ts file exports, `type` or `value` before each; sorted, each once. */
export function exportedNames(declarations: string): string[] {
  const names: string[] = [];
  for (const [, typeOnly, list = ""] of declarations.matchAll(LIST)) {
    for (const item of list.split(",").filter((text) => text.trim() !== "")) {
      const name = item.trim().split(" ").at(-1) ?? "";
      names.push(`${typeOnly !== undefined || item.trim().startsWith("type ") ? "type" : "value"} ${name}`);
    }
  }
  for (const [, keyword = "", name = ""] of declarations.matchAll(DECLARATION)) {
    names.push(`${keyword === "interface" || keyword === "type" ? "type" : "value"} ${name}`);
  }
  return [...new Set(names)].sort();
}

/** What was added to or is missing from the snapshot; both are lines. */
export function compareSnapshot(now: readonly string[], before: readonly string[]): string[] {
  return [
    ...now.filter((line) => !before.includes(line)).map((line) => `${SNAPSHOT}: "${line}" is exported but not listed`),
    ...before.filter((line) => !now.includes(line)).map((line) => `${SNAPSHOT}: "${line}" is listed but not exported`),
  ];
}

async function readApi(): Promise<string[]> {
  const manifest = JSON.parse(await readProjectFile("package.json")) as { name: string; exports: Record<string, unknown> };
  const lines: string[] = [];
  for (const [entry, target] of Object.entries(manifest.exports)) {
    if (typeof target === "string") continue;
    const names = exportedNames(await readProjectFile((target as { types: string }).types));
    await requireSameValues(`${manifest.name}${entry.slice(1)}`, names);
    lines.push(...names.map((name) => `${entry} ${name}`));
  }
  return lines;
}

async function requireSameValues(specifier: string, names: readonly string[]): Promise<void> {
  const imported = Object.keys((await import(specifier)) as object).map((name) => `value ${name}`);
  const declared = names.filter((name) => name.startsWith("value "));
  const differing = [...imported.filter((name) => !declared.includes(name)), ...declared.filter((name) => !imported.includes(name))];
  if (differing.length > 0) throw new Error(`${specifier} declares other names than it exports: ${differing.join(", ")}`);
}

if (import.meta.main) {
  const now = await readApi();
  if (process.argv.includes("--update")) await writeFile(join(PROJECT, SNAPSHOT), `${now.join("\n")}\n`);
  report("api", compareSnapshot(now, (await readProjectFile(SNAPSHOT)).trim().split("\n")));
}
