/**
 * Generates parts of docs/cli.md from the tables of the commands: the shared options, the exit codes, and a section for each command.
 * Without `--update` it compares them.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "../src/cli/command.ts";
import { loadCommands } from "../src/cli/commands.ts";
import { EXIT_CODES } from "../src/cli/exit-codes.ts";
import { optionGroups, optionRow, usageOf, type Row } from "../src/cli/help.ts";
import { COMMON_OPTIONS, IMAGE_OPTIONS, PULL_OPTIONS, REGISTRY_OPTIONS, type OptionGroup } from "../src/cli/options.ts";
import { PROJECT, readProjectFile, report } from "./project.ts";

const PAGE = "docs/cli.md";
const SHARED: readonly OptionGroup[] = [COMMON_OPTIONS, IMAGE_OPTIONS, PULL_OPTIONS, REGISTRY_OPTIONS];

/** Returns the page with new text between its markers. */
export function updatePage(page: string, commands: readonly Command[]): string {
  const withOptions = replaceBetween(page, "options", SHARED.map(sharedOptions).join("\n"));
  const withCodes = replaceBetween(withOptions, "exit codes", exitCodes(EXIT_CODES));
  return replaceBetween(withCodes, "commands", commands.map(section).join("\n"));
}

function sharedOptions({ title, options }: OptionGroup): string {
  return `### ${title}\n\n${optionTable(Object.entries(options).map(([name, spec]) => optionRow(name, spec)))}\n`;
}

function replaceBetween(page: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`${PAGE} has no markers for the ${name}: ${begin.trim()} and ${end}`);
  return `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`;
}

function section(command: Command): string {
  const { name, summary, notes = [], json, examples, exitCodes: own } = command;
  const groups = optionGroups(command, SHARED);
  const parts = [
    `### shale ${name}`,
    `\`\`\`text\n${usageOf(command)}\n\`\`\``,
    summary,
    ...groups.filter(({ title }) => title === "Options").map(({ rows }) => optionTable(rows)),
    `Also ${listOf(SHARED.flatMap((group) => sharedBy(group, groups)))}.`,
    ...notes,
    json === undefined ? "" : `\`--json\` prints \`${json}\`.`,
    own ? exitCodes(own.rows) : "",
    `\`\`\`text\n${examples.map(([line, does]) => `# ${does}\n${line}`).join("\n")}\n\`\`\``,
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

/** `the [image options](#image-options)`; if the command has not all of them, those that it has. */
function sharedBy({ title, options }: OptionGroup, groups: ReturnType<typeof optionGroups>): string[] {
  const rows = groups.find((group) => group.title === title)?.rows;
  if (rows === undefined) return [];
  const link = `the [${title.toLowerCase()}](#${title.toLowerCase().replaceAll(" ", "-")})`;
  if (rows.length === Object.keys(options).length) return [link];
  return [`${rows.map(([left]) => `\`${/--[\w-]+/.exec(left)?.[0] ?? ""}\``).join(", ")} of ${link}`];
}

function listOf(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1) ?? ""}`;
}

function optionTable(rows: readonly Row[]): string {
  return table(
    ["option", "meaning"],
    rows.map(([left, help]) => [`\`${left}\``, escapeCell(help)]),
  );
}

function exitCodes(rows: readonly (readonly [number, string])[]): string {
  return `${table(
    ["exit code", "meaning"],
    rows.map(([code, meaning]) => [String(code), escapeCell(meaning)]),
  )}\n`;
}

function table(head: readonly [string, string], rows: readonly (readonly [string, string])[]): string {
  return [`| ${head.join(" | ")} |`, "|---|---|", ...rows.map(([left, right]) => `| ${left.replaceAll("|", "\\|")} | ${right} |`)].join(
    "\n",
  );
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}

if (import.meta.main) {
  const page = await readProjectFile(PAGE);
  const wanted = updatePage(page, await loadCommands());
  if (process.argv.includes("--update")) await writeFile(join(PROJECT, PAGE), wanted);
  else
    report("cli-docs", page === wanted ? [] : [`${PAGE}: is not what the commands' tables say; run node dist/tools/cli-docs.js --update`]);
}
