/** docs/performance.md, of which the benchmark writes what stands between its marks. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT } from "../project.ts";
import { coldChart } from "./chart.ts";
import { sections } from "./report.ts";
import type { Result } from "./result.ts";

const PAGE = join(PROJECT, "docs/performance.md");
const CHART = join(PROJECT, "docs/performance-pull.svg");
const RESULTS = join(PROJECT, "docs/performance.json");

/** Sections that were not measured stay as they are. */
export async function writeDocument(result: Result): Promise<void> {
  let page = await readFile(PAGE, "utf8");
  for (const [name, text] of sections(result)) page = replaceSection(page, name, text);
  await writeFile(PAGE, page);
  if (result.cold.length > 0) await writeFile(CHART, coldChart(result));
  await writeFile(RESULTS, `${JSON.stringify(result)}\n`);
}

/** @throws when the page has no such marks */
export function replaceSection(page: string, name: string, text: string): string {
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`write the section "${name}": the page has no marks ${begin} and ${end}`);
  return `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`;
}
