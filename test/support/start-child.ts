/** Starts pull-child.ts in a process of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ChildRequest, ChildResult } from "./pull-child.ts";

export interface Child {
  readonly process: ChildProcess;
  /** What it said; undefined if it was killed first. @throws when it ends otherwise without an answer */
  readonly result: Promise<ChildResult | undefined>;
}

const PROGRAM: string = fileURLToPath(new URL("pull-child.js", import.meta.url));

export function startChild(request: ChildRequest, options: { uid?: number; gid?: number; cwd?: string } = {}): Child {
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(request)], { ...options, stdio: ["ignore", "pipe", "inherit"] });
  return { process: child, result: readResult(child) };
}

/** @throws when the child was killed */
export async function pullInChild(request: ChildRequest, options: { uid?: number; gid?: number; cwd?: string } = {}): Promise<ChildResult> {
  const result = await startChild(request, options).result;
  if (!result) throw new Error("the child was killed");
  return result;
}

async function readResult(child: ChildProcess): Promise<ChildResult | undefined> {
  const text: Buffer[] = [];
  child.stdout?.on("data", (data: Buffer) => text.push(data));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  if (signal !== null) return undefined;
  if (code !== 0) throw new Error(`the child ended with ${code}`);
  return JSON.parse(Buffer.concat(text).toString()) as ChildResult;
}
