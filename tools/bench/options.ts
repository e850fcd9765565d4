/** The command line of the benchmark. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CACHE, IMAGE_TAGS } from "./images.ts";

const SCENARIOS = ["cold", "cached", "trees", "sharing", "disk", "removal"] as const;

type Scenario = (typeof SCENARIOS)[number];

export const USAGE: string = `npm run bench -- [OPTIONS]
  --rounds N            default 5
  --images A,B          default: all (${IMAGE_TAGS.join(", ")})
  --peers A,B           default: all; shale, containerd, podman, "skopeo + umoci", microsandbox-image, "curl | gunzip | tar", floor, ...
  --scenarios A,B       default: all (${SCENARIOS.join(", ")})
  --directory DIR       where everything is pulled to; default: the directory for temporary files
  --keep-caches         do not empty the page cache before each round
  --json FILE           where the results go; default: .cache/bench/result.json
  --write               put tables, chart and results into docs/
  --chart               measure nothing: do what --write does with the results that are there
`;

export interface Options {
  readonly rounds: number;
  readonly images: readonly string[];
  /** Empty: all. */
  readonly peers: readonly string[];
  readonly scenarios: readonly Scenario[];
  readonly directory: string;
  readonly keepCaches: boolean;
  readonly json: string;
  readonly write: boolean;
  readonly chart: boolean;
}

/** @throws TypeError, RangeError */
export function parseOptions(args: readonly string[]): Options {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { ...text, default: "5" },
      images: { ...text, default: IMAGE_TAGS.join(",") },
      peers: { ...text, default: "" },
      scenarios: { ...text, default: SCENARIOS.join(",") },
      directory: { ...text, default: tmpdir() },
      json: { ...text, default: join(CACHE, "result.json") },
      "keep-caches": flag,
      write: flag,
      chart: flag,
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isSafeInteger(rounds) || rounds < 1) throw new RangeError(`--rounds "${values.rounds}": it takes a whole number from 1`);
  return {
    rounds,
    images: chosen("--images", values.images, IMAGE_TAGS),
    peers: list(values.peers),
    scenarios: chosen("--scenarios", values.scenarios, SCENARIOS),
    directory: values.directory,
    keepCaches: values["keep-caches"],
    json: values.json,
    write: values.write,
    chart: values.chart,
  };
}

function list(text: string): string[] {
  return text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

/** In the order of `known`. */
function chosen<T extends string>(option: string, text: string, known: readonly T[]): readonly T[] {
  const words = list(text);
  const unknown = words.find((word) => !known.some((name) => name === word));
  if (unknown !== undefined) throw new RangeError(`${option} "${unknown}": it takes ${known.join(", ")}`);
  return known.filter((name) => words.includes(name));
}
