/** `npm run test:fuzz [TARGET...]`: FUZZ_MINUTES a target (default 10), FUZZ_SEED to repeat a run; memory must not grow. */
import { argv, env, stdout } from "node:process";
import { fuzz } from "./fuzz.ts";
import { TARGETS } from "./targets/all.ts";

const GROWTH_MIB = 300;

const wanted = argv.slice(2);
const minutes = Number(env["FUZZ_MINUTES"] ?? 10);
const seed = Number(env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));

for (const target of TARGETS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  stdout.write(`${target.name}: seed ${seed}, ${minutes} minutes\n`);
  await fuzz(target, { seed, milliseconds: 2000 });
  const before = process.memoryUsage.rss();
  const { runs, slowest } = await fuzz(target, { seed: seed + 0x4000_0000, milliseconds: minutes * 60_000 });
  const growth = Math.round((process.memoryUsage.rss() - before) / 1024 ** 2);
  stdout.write(
    `${target.name}: ${runs} runs, slowest ${Math.round(slowest.milliseconds)} ms (seed ${slowest.seed}), ${growth} MiB grown\n`,
  );
  if (growth > GROWTH_MIB) throw new Error(`${target.name} grew by ${growth} MiB`);
}
