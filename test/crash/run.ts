import { Random } from "./random.ts";
import { sweepKills } from "./kill-sweep.ts";
import { World } from "./world.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const seed = process.env["SHALE_CRASH_SEED"] ?? "1";
const only = process.env["SHALE_CRASH_ROUND"];
const count = Number(process.env["SHALE_CRASH_ROUNDS"] ?? 18);
void Random;
const t = performance.now();
await using world = await World.create();
const directory = mkdtempSync(join(tmpdir(), "crash-"));
console.log("world", performance.now() - t);
const rounds = only === undefined ? Array.from({ length: count }, (_, i) => i) : [Number(only)];
const result = await sweepKills({ world, directory, seed, rounds, lanes: 2, onProblem: (text) => console.log(text.split("\n").map((line) => line.slice(0, 260)).slice(0, 14).join("\n")) });
console.log(JSON.stringify(result), performance.now() - t);
rmSync(directory, { recursive: true });
