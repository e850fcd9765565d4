/** Pulls one bomb in a process of its own: `bomb-child.js NAME N` prints what came of it, the CPU it took, and the most memory it had. */
import { readFileSync } from "node:fs";
import { argv, stdout } from "node:process";
import { ShaleError } from "../../src/index.ts";
import { startStore } from "../support/store-harness.ts";
import { BOMBS } from "./bombs.ts";

const { layer, limits = {}, eager = false } = BOMBS[argv[2]!]!;

await using harness = await startStore({ client: { limits } });
const { reference } = harness.push("a/bomb", [layer(Number(argv[3]))]);
await harness.store();
const resting = peak();
const before = process.cpuUsage();
const { image, error } = await harness.watch(reference, { materialize: eager ? "eager" : "lazy" });
const { user, system } = process.cpuUsage(before);
const code = image ? "pulled" : ShaleError.is(error) ? error.code : String(error);
stdout.write(JSON.stringify({ code, seconds: (user + system) / 1e6, mebibytes: peak() - resting }));

function peak(): number {
  return Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "latin1"))?.[1]) / 1024;
}
