import { cutPower } from "./power-cut.ts";
import { World } from "./world.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const seed = process.env["SHALE_CRASH_SEED"] ?? "1";
const only = process.env["SHALE_CRASH_ROUND"];
const count = Number(process.env["SHALE_CRASH_ROUNDS"] ?? 6);
const t = performance.now();
await using world = await World.create();
const directory = mkdtempSync(join(tmpdir(), "crash-"));
const rounds = only === undefined ? Array.from({ length: count }, (_, i) => i) : [Number(only)];
const result = await cutPower({ world, directory, seed, rounds, onProblem: (text) => console.log(text.split("\n").map((line) => line.slice(0, 260)).slice(0, 14).join("\n")) });
console.log(JSON.stringify(result, undefined, 1), performance.now() - t);
rmSync(directory, { recursive: true });
