/**
 * Runs the test suites named in the arguments, one after the other, on the Node.js that runs this program; `gate` stands for lint, format
 * and the project's own checks. A failure does not stop the suites that follow. Prints each failure, then one line per suite.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { run } from "node:test";
import { inspect } from "node:util";
import { PROJECT } from "./project.ts";

interface Suite {
  /** Globs of compiled test files, below dist/test/. */
  readonly files: readonly string[];
  /** Test files at a time. */
  readonly concurrency: number;
}

const CORES: number = availableParallelism();

const SUITES: Readonly<Record<string, Suite>> = {
  unit: { files: ["*.test.js", "!(integration|counts|big)/**/*.test.js"], concurrency: CORES },
  // what other tests do at the same time would be counted
  counts: { files: ["counts/**/*.test.js"], concurrency: 1 },
  integration: { files: ["integration/**/*.test.js"], concurrency: CORES },
  /** What touches Node's own modules, for other releases of Node.js. */
  node: { files: ["{ingest,pull,store,system,tar,tree,view}/**/*.test.js"], concurrency: CORES },
};

/** npm scripts. */
const GATE: readonly string[] = ["lint", "format:check", "check"];

export interface Counts {
  passed: number;
  failed: number;
}

/** Runs test files and prints each failure, with what the test reports, by `print`. Tests that were skipped count as failed. */
export async function runFiles(files: readonly string[], concurrency: number, print: (text: string) => void): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0 };
  const failures = (name: string, file: string | undefined, problem: unknown): void => {
    counts.failed++;
    print(`FAILED ${name}\n  in ${(file ?? "").replace(PROJECT, "")}\n${indent(inspect(problem, { depth: 4 }))}\n`);
  };
  const events = run({ files: [...files], concurrency }) as AsyncIterable<TestEvent>;
  for await (const { type, data } of events) {
    const isSuite = data.details?.type === "suite";
    if (type === "test:fail" && !isSuite) failures(data.name, data.file, data.details?.error?.cause ?? data.details?.error);
    else if (type === "test:pass" && (data.skip ?? data.todo) !== undefined) failures(data.name, data.file, "was skipped");
    else if (type === "test:pass" && !isSuite) counts.passed++;
  }
  return counts;
}

interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name: string;
    readonly file?: string;
    readonly skip?: unknown;
    readonly todo?: unknown;
    readonly details?: { readonly type?: string; readonly error?: Error };
  };
}

async function runSuite(name: string): Promise<Counts> {
  const suite = SUITES[name];
  if (suite === undefined) throw new Error(`unknown suite ${JSON.stringify(name)}; known are gate, ${Object.keys(SUITES).join(", ")}`);
  const files = suite.files.flatMap((pattern) => globSync(join(PROJECT, "dist/test", pattern))).sort();
  if (files.length === 0) throw new Error(`no test file of ${name} was found; run \`npm run build\` first`);
  return runFiles(files, suite.concurrency, (text) => process.stderr.write(text));
}

async function runGate(): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0 };
  for (const script of GATE) {
    const child = spawn("npm", ["run", "--silent", script], { cwd: PROJECT, stdio: ["ignore", "pipe", "pipe"] });
    const output: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
    const [code] = (await once(child, "close")) as [number | null];
    if (code === 0) counts.passed++;
    else {
      counts.failed++;
      process.stderr.write(`FAILED npm run ${script}\n${indent(Buffer.concat(output).toString())}\n`);
    }
  }
  return counts;
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "  ");
}

function duration(started: number): string {
  const seconds = Math.round((performance.now() - started) / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

if (import.meta.main) {
  const total: Counts = { passed: 0, failed: 0 };
  for (const name of process.argv.slice(2)) {
    const started = performance.now();
    const { passed, failed } = name === "gate" ? await runGate() : await runSuite(name);
    total.passed += passed;
    total.failed += failed;
    process.stdout.write(`${name}: ${failed === 0 ? "ok" : "FAILED"}, ${passed} passed, ${failed} failed, ${duration(started)}\n`);
  }
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
  if (total.failed > 0 || total.passed === 0) process.exitCode = 1;
}
