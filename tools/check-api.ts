/**
 * Compares the public API of every entry point, signatures included, with the reports in test/api-report/ (`--update` writes them).
 * API Extractor reads the emitted declarations.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Extractor, ExtractorConfig, ExtractorLogLevel } from "@microsoft/api-extractor";
import { PROJECT, readProjectFile, report } from "./project.ts";

const REPORTS = "test/api-report";

export interface EntryPoint {
  /** Names the report: `NAME.api.md`. */
  readonly name: string;
  /** Absolute path of the declarations. */
  readonly types: string;
}

/** True if the API differs from its report in `reports`. With `update` the report is written, and nothing differs. */
export function isChanged({ name, types }: EntryPoint, { reports, temporary, update }: ReportPaths): boolean {
  const silent = { logLevel: ExtractorLogLevel.None };
  const config = ExtractorConfig.prepare({
    packageJsonFullPath: join(PROJECT, "package.json"),
    configObjectFullPath: undefined,
    configObject: {
      projectFolder: PROJECT,
      mainEntryPointFilePath: types,
      compiler: { overrideTsconfig: { compilerOptions: COMPILER_OPTIONS, files: [types] } },
      apiReport: { enabled: true, reportFileName: name, reportFolder: reports, reportTempFolder: temporary },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: { extractorMessageReporting: { default: silent }, tsdocMessageReporting: { default: silent } },
    },
  });
  const { apiReportChanged } = Extractor.invoke(config, {
    localBuild: update,
    messageCallback: (message) => {
      message.handled = true;
    },
  });
  return apiReportChanged && !update;
}

export interface ReportPaths {
  readonly reports: string;
  /** A directory for the new report. */
  readonly temporary: string;
  readonly update: boolean;
}

const COMPILER_OPTIONS = {
  target: "es2023",
  lib: ["es2024", "esnext.disposable"],
  module: "nodenext",
  types: ["node"],
  strict: true,
  noEmit: true,
  allowImportingTsExtensions: true,
} as const;

async function entryPoints(): Promise<EntryPoint[]> {
  const { name, exports } = JSON.parse(await readProjectFile("package.json")) as { name: string; exports: Record<string, unknown> };
  const typed = Object.entries(exports).filter((entry): entry is [string, { types: string }] => typeof entry[1] === "object");
  return typed.map(([path, { types }]) => ({ name: `${name}${path.slice(1).replace("/", "-")}`, types: join(PROJECT, types) }));
}

if (import.meta.main) {
  const temporary = await mkdtemp(join(tmpdir(), "api-report-"));
  try {
    const paths = { reports: join(PROJECT, REPORTS), temporary, update: process.argv.includes("--update") };
    const changed = (await entryPoints()).filter((entry) => isChanged(entry, paths));
    const hint = "differs from the API; if the change is wanted, run `npm run api:update` and review the report";
    report(
      "api",
      changed.map(({ name }) => `${REPORTS}/${name}.api.md: ${hint}`),
    );
  } finally {
    await rm(temporary, { recursive: true });
  }
}
