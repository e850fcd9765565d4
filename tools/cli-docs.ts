/**
 * The part of docs/cli.md that the tables of the commands say already: a section for each command, and the exit codes. Without
 * `--update` it is compared.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "../src/cli/command.ts";
import { loadCommands } from "../src/cli/commands.ts";
import { EXIT_CODES } from "../src/cli/exit-codes.ts";
import { optionRows, usageOf } from "../src/cli/help.ts";
import { COMMON } from "../src/cli/options.ts";
import { PROJECT, readProjectFile, report } from "./project.ts";

const PAGE = "docs/cli.md";

/** The page with what stands between its markers made anew. */
export function updatePage(page: string, commands: readonly Command[]): string {
  const withCodes = replaceBetween(page, "exit codes", exitCodes(EXIT_CODES));
  return replaceBetween(withCodes, "commands", commands.map(section).join("\n"));
}

function replaceBetween(page: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`${PAGE} has no place for the ${name}: ${begin.trim()} and ${end}`);
  return `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`;
}

function section(command: Command): string {
  const { name, summary, notes = [], json, examples, exitCodes: own } = command;
  const options = optionRows(command).filter(([left]) => !isCommon(left));
  const parts = [
    `### shale ${name}`,
    `\`\`\`text\n${usageOf(command)}\n\`\`\``,
    summary,
    options.length === 0
      ? ""
      : table(
          ["option", "meaning"],
          options.map(([left, help]) => [`\`${left}\``, escapeCell(help)]),
        ),
    ...notes,
    json === undefined ? "" : `\`--json\` prints \`${json}\`.`,
    own ? exitCodes(own.rows) : "",
    `\`\`\`text\n${examples.map(([line, does]) => `# ${does}\n${line}`).join("\n")}\n\`\`\``,
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function isCommon(left: string): boolean {
  const name = /--([a-z-]+)/.exec(left)?.[1] ?? "";
  return name === "help" || Object.hasOwn(COMMON, name);
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
