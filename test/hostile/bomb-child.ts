/**
 * `bomb-child.js NAME N [HOARD]` pulls one bomb in a process of its own, and prints the outcome, the CPU time and the peak memory. The
 * process also holds HOARD MiB itself, which shows that the measurement would notice them.
 */
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
const hoard = Buffer.alloc(Number(argv[4] ?? 0) << 20, 1);
const { image, error } = await harness.watch(reference, { materialize: eager ? "eager" : "lazy" });
const { user, system } = process.cpuUsage(before);
const code = image ? "pulled" : ShaleError.is(error) ? error.code : String(error);
stdout.write(
  JSON.stringify({ code, seconds: (user + system) / 1e6, mebibytes: peak() - resting, data: peak("VmData"), hoard: hoard.length }),
);

function peak(what: "VmHWM" | "VmData" = "VmHWM"): number {
  return Number(new RegExp(`${what}:\\s*(\\d+)`).exec(readFileSync("/proc/self/status", "latin1"))?.[1]) / 1024;
}
