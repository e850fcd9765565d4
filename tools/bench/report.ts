/** Tables in Markdown, one text for each section of docs/performance.md that the benchmark fills. */
import type { ColdRow, Floor, Result, Sample, SharingRow, TimesRow } from "./result.ts";
import { median, spread } from "./statistics.ts";

export const SECTIONS = ["conditions", "images", "cold", "floor", "cached", "trees", "sharing", "disk", "removal"] as const;

export type Section = (typeof SECTIONS)[number];

const PIECES: Readonly<Record<keyof Floor, string>> = {
  inflate: "inflate",
  blobDigest: "SHA-256 of the blobs",
  layerDigest: "of the layers",
  fileDigests: "of each file",
  framing: "tar headers",
  create: "making each inode",
  link: "making each name",
};

/** Sections that this run measured nothing for are left out. */
export function sections(result: Result): ReadonlyMap<Section, string> {
  const made: readonly (readonly [Section, string])[] = [
    ["conditions", conditions(result)],
    ["images", images(result)],
    ["cold", cold(result)],
    ["floor", floors(result)],
    ["cached", times(result.cached, { unit: "ms", factor: 1000, digits: 2 })],
    ["trees", times(result.trees, { unit: "s", factor: 1, digits: 3 })],
    ["sharing", sharing(result)],
    ["disk", disk(result)],
    ["removal", times(result.removal, { unit: "s", factor: 1, digits: 2 })],
  ];
  return new Map(made.filter(([, text]) => text !== ""));
}

export function medianOf(samples: readonly Sample[], field: keyof Sample): number {
  return median(samples.map((sample) => sample[field]));
}

/** Wall seconds that nothing on two cores goes below, with this registry. */
export function floorWall(result: Result, image: string): number | undefined {
  const floor = result.floors.find((row) => row.image === image);
  if (!floor || floor.samples.length === 0) return undefined;
  return (median(floor.samples.map(sum)) + registryCpu(result, image)) / 2;
}

function conditions({ conditions: { date, machine, software, rounds, cachesDropped, emptied }, peers }: Result): string {
  const missing = peers.filter(({ missing }) => missing !== undefined).map(({ name, missing }) => `- not measured: ${name}: ${missing!}`);
  const lines = [
    `- ${date}; ${rounds} rounds`,
    `- ${machine}`,
    `- ${software}`,
    `- page cache emptied before each round: ${cachesDropped ? "yes" : "no"}; files of earlier rounds emptied for want of room: ${emptied} times`,
  ];
  return [...lines, ...missing].join("\n");
}

function images(result: Result): string {
  const rows = result.images.map(({ tag, what, layers, bytes, entries, unpacked }) => [
    `\`${tag}\``,
    what,
    String(layers),
    megabytes(bytes),
    entries.toLocaleString("en"),
    megabytes(unpacked),
  ]);
  return table(["image", "what it is", "layers", "compressed, MB", "entries", "unpacked, MB"], rows);
}

const COLD_HEADS: readonly string[] = [
  "",
  "wall, s",
  "spread",
  "to shale",
  "user + sys, s",
  "peak RSS, MiB",
  "written, MB",
  "spool, MB",
  "on disk, MB",
  "inodes",
  "sync after, s",
];

function cold(result: Result): string {
  const tags = [...new Set(result.cold.map(({ image }) => image))];
  const blocks = tags.map((tag) => {
    const rows = result.cold.filter(({ image }) => image === tag);
    const own = rows.find(({ peer, samples }) => peer === "shale" && samples.length > 0);
    const wall = own && medianOf(own.samples, "wall");
    const floor = floorWall(result, tag);
    const below = floor === undefined ? [] : [pad(["floor on two cores", floor.toFixed(2), "", ratio(floor, wall)], COLD_HEADS.length)];
    return `Image \`${tag}\`:\n\n${table(COLD_HEADS, [...rows.map((row) => coldRow(row, wall)), ...missingRows(result), ...below])}`;
  });
  return blocks.join("\n\n");
}

function coldRow({ peer, samples, failure }: ColdRow, own: number | undefined): string[] {
  if (samples.length === 0) return pad([peer, failure ?? "not measured"], COLD_HEADS.length);
  const of = (field: keyof Sample): number => medianOf(samples, field);
  const wall = of("wall");
  const [least, most] = spread(samples.map((sample) => sample.wall));
  const cells = [wall.toFixed(2), `${least.toFixed(2)}-${most.toFixed(2)}`, ratio(wall, own), of("cpu").toFixed(2)];
  const bytes = [mebibytes(of("peakRss")), megabytes(of("written")), megabytes(of("spool")), megabytes(of("disk"))];
  return [peer, ...cells, ...bytes, of("inodes").toLocaleString("en"), of("sync").toFixed(2)];
}

function missingRows(result: Result): string[][] {
  return result.peers.flatMap(({ name, missing }) => (missing === undefined ? [] : [pad([name, missing], COLD_HEADS.length)]));
}

function floors(result: Result): string {
  const keys = Object.keys(PIECES) as (keyof Floor)[];
  const rows = result.floors
    .filter(({ samples }) => samples.length > 0)
    .map(({ image, samples }) => {
      const pieces = keys.map((key) => median(samples.map((floor) => floor[key])).toFixed(2));
      const registry = registryCpu(result, image).toFixed(2);
      return [`\`${image}\``, ...pieces, registry, floorWall(result, image)!.toFixed(2)];
    });
  return table(["CPU seconds", ...Object.values(PIECES), "the registry", "all, on two cores"], rows);
}

function sum(floor: Floor): number {
  const pieces: readonly number[] = Object.values(floor);
  return pieces.reduce((total, seconds) => total + seconds, 0);
}

function registryCpu(result: Result, image: string): number {
  const own = result.cold.find((row) => row.image === image && row.peer === "shale");
  return own && own.samples.length > 0 ? medianOf(own.samples, "registryCpu") : 0;
}

function times(rows: readonly TimesRow[], shown: { readonly unit: string; readonly factor: number; readonly digits: number }): string {
  const { unit, factor, digits } = shown;
  const withCalls = rows.some(({ systemCalls }) => systemCalls !== undefined);
  const withCpu = rows.some(({ cpu }) => cpu !== undefined);
  const heads = ["", `median, ${unit}`, "spread", ...(withCpu ? ["user + sys, s"] : []), ...(withCalls ? ["system calls"] : [])];
  const lines = rows.map(({ name, times: all, cpu, systemCalls, failure }) => {
    if (all.length === 0) return pad([name, failure ?? "not measured"], heads.length);
    const [least, most] = spread(all).map((value) => (value * factor).toFixed(digits));
    const cells = [(median(all) * factor).toFixed(digits), `${least!}-${most!}`];
    const cpuCell = withCpu ? [cpu && cpu.length > 0 ? median(cpu).toFixed(2) : ""] : [];
    return [name, ...cells, ...cpuCell, ...(withCalls ? [systemCalls === undefined ? "" : String(systemCalls)] : [])];
  });
  return table(heads, lines);
}

function sharing(result: Result): string {
  const heads = ["", "first: wall, s", "written, MB", "second: wall, s", "written, MB", "second to first: wall", "written"];
  const rows = result.sharing.map((row: SharingRow) => {
    const { peer, first, second, failure } = row;
    if (second.length === 0) return pad([peer, failure ?? "not measured"], heads.length);
    const [wall, wall2] = [medianOf(first, "wall"), medianOf(second, "wall")];
    const [written, written2] = [medianOf(first, "written"), medianOf(second, "written")];
    const ratios = [ratio(wall2, wall), ratio(written2, written)];
    return [peer, wall.toFixed(2), megabytes(written), wall2.toFixed(2), megabytes(written2), ...ratios];
  });
  return table(heads, rows);
}

function disk(result: Result): string {
  const unique = result.disk.find(({ peer }) => peer === UNIQUE)?.disk.at(-1);
  const tags = result.disk[0]?.images ?? [];
  const heads = ["MB on disk after", ...tags.map((tag) => `\`${tag}\``), "to the contents"];
  const rows = result.disk.map(({ peer, disk: after, failure }) =>
    after.length === tags.length
      ? [peer, ...after.map(megabytes), ratio(after.at(-1)!, unique)]
      : pad([peer, failure ?? "not measured"], heads.length),
  );
  return table(heads, rows);
}

/** The row that the others are compared with. */
export const UNIQUE = "distinct contents of files";

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(heads), line(heads.map((_, index) => (index === 0 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}

function pad(cells: readonly string[], length: number): string[] {
  return [...cells, ...Array.from({ length: length - cells.length }, () => "")];
}

function ratio(value: number, base: number | undefined): string {
  return base === undefined || base === 0 ? "" : (value / base).toFixed(2);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(0);
}
