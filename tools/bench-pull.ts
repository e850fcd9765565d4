/**
 * Cold pulls of one real image, side by side: shale, containerd, podman, skopeo + umoci, and the floor for unpacking (curl, gunzip,
 * tar). Each round runs all of them, in an order that moves by one, each in a directory that nothing has used; a sync stands before
 * each. Nothing is deleted until the end: ext4 is slow for some seconds after a mass deletion. A peer that is not there is named.
 *
 *     npm run bench -- [--rounds 5] [--image node|full|base] [--json FILE]
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { pushLayout, startDockerRegistry } from "../test/support/docker-registry.ts";
import { ensureImages } from "../test/support/ensure-images.ts";
import { run } from "../test/support/run.ts";
import { PROJECT } from "./project.ts";

interface Sample {
  /** ms. */
  readonly wall: number;
  /** User and system time, s. */
  readonly cpu: number;
}

interface Peer {
  readonly name: string;
  readonly programs: readonly string[];
  /** Shell text; `$DIR` is its directory, `$REF` the reference, `$BLOBS` the layers' URLs. */
  readonly script: string;
  /** A daemon's process, whose CPU time counts too. */
  readonly daemon?: number;
}

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, image: { type: "string", default: "node" }, json: { type: "string" } },
});
await main(Number(values.rounds), values.image);

async function main(rounds: number, tag: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "shale-bench-"));
  await using registry = await startDockerRegistry();
  const layout = await layoutWith(tag);
  const reference = await pushLayout({ directory: layout, tag }, registry, { repository: "bench", tag });
  const containerd = await startContainerd(work);
  try {
    const peers = allPeers(containerd);
    const present = peers.filter(({ programs }) => programs.every(isOnPath));
    for (const { name, programs } of peers)
      if (!present.some((peer) => peer.name === name)) console.log(`${name}: not measured, ${programs.join(" or ")} is not there`);
    const environment = { REF: reference, SHALE: join(PROJECT, "dist/src/cli/main.js"), BLOBS: await blobUrls(registry.host, tag) };
    const samples = await measure({ peers: present, rounds, work, environment });
    console.log(table(tag, rounds, samples));
    if (values.json) await writeFile(values.json, JSON.stringify(Object.fromEntries(samples), undefined, 2));
  } finally {
    containerd?.child.kill();
    await rm(work, { recursive: true, force: true });
  }
}

async function layoutWith(tag: string): Promise<string> {
  const { layout } = await ensureImages();
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as { manifests: { annotations?: Record<string, string> }[] };
  const has = index.manifests.some(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === tag);
  if (!has && tag === "node") await run("sh", [join(PROJECT, "test/fixtures/node-image.sh"), layout]);
  return layout;
}

function allPeers(containerd: { address: string; pid: number } | undefined): Peer[] {
  const node = process.execPath;
  const daemon = containerd ? { daemon: containerd.pid } : {};
  return [
    { name: "shale", programs: [], script: `${node} "$SHALE" pull "$REF" --store "$DIR/store" --plain-http --quiet` },
    {
      name: "containerd",
      programs: ["ctr", "containerd"],
      // a namespace of its own shares nothing that earlier rounds unpacked
      script: `ctr --address "${containerd?.address ?? ""}" --namespace "$NAME" image pull --plain-http "$REF"`,
      ...daemon,
    },
    {
      name: "podman",
      programs: ["podman"],
      script: `podman --root "$DIR/root" --runroot "$DIR/run" --storage-driver overlay pull --quiet --tls-verify=false "$REF"`,
    },
    {
      name: "skopeo + umoci",
      programs: ["skopeo", "umoci"],
      script: `skopeo copy --quiet --insecure-policy --src-tls-verify=false "docker://$REF" "oci:$DIR/layout:x" && umoci unpack --image "$DIR/layout:x" "$DIR/bundle"`,
    },
    {
      name: "curl | gunzip | tar",
      programs: ["curl", "gunzip", "tar"],
      script: `for url in $BLOBS; do mkdir "$DIR/\${url##*:}"; curl -s "$url" | gunzip | tar -x -C "$DIR/\${url##*:}" --numeric-owner; done`,
    },
  ];
}

interface Measurement {
  readonly peers: readonly Peer[];
  readonly rounds: number;
  readonly work: string;
  readonly environment: Readonly<Record<string, string>>;
}

async function measure({ peers, rounds, work, environment }: Measurement): Promise<Map<string, Sample[]>> {
  const samples = new Map(peers.map(({ name }) => [name, [] as Sample[]]));
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < peers.length; turn++) {
      const peer = peers[(round + turn) % peers.length]!;
      const directory = join(work, `${round}-${turn}`);
      await mkdir(directory);
      await run("sync", []);
      const list = samples.get(peer.name);
      if (!list) continue;
      const sample = await once(peer, { ...environment, DIR: directory, NAME: `bench${round}` }).catch((error: unknown) => {
        samples.delete(peer.name);
        console.log(`${peer.name}: cannot pull this image: ${String((error as { stderr?: Buffer }).stderr ?? error).slice(0, 400)}`);
      });
      if (!sample) continue;
      list.push(sample);
      console.log(`round ${round + 1} ${peer.name}: ${(sample.wall / 1000).toFixed(2)} s, CPU ${sample.cpu.toFixed(2)} s`);
    }
  }
  return samples;
}

async function once(peer: Peer, environment: Record<string, string>): Promise<Sample> {
  const before = peer.daemon === undefined ? 0 : processCpu(peer.daemon);
  const start = performance.now();
  // `times` tells what the shell's children used, in the last line
  const output = await run("bash", ["-c", `set -eo pipefail; { ${peer.script}; } >/dev/null; times`], {
    env: { ...process.env, ...environment },
  });
  const wall = performance.now() - start;
  const daemon = peer.daemon === undefined ? 0 : processCpu(peer.daemon) - before;
  return { wall, cpu: daemon + childrenCpu(output.toString()) };
}

function childrenCpu(times: string): number {
  const fields =
    times
      .trim()
      .split("\n")
      .at(-1)
      ?.match(/(\d+)m([\d.]+)s/g) ?? [];
  return fields.reduce((sum, field) => {
    const [, minutes, seconds] = /(\d+)m([\d.]+)s/.exec(field)!;
    return sum + Number(minutes) * 60 + Number(seconds);
  }, 0);
}

/** proc(5): utime and stime are fields 14 and 15, in ticks of 10 ms. */
function processCpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function startContainerd(work: string): Promise<{ child: ReturnType<typeof spawn>; address: string; pid: number } | undefined> {
  if (!isOnPath("containerd")) return undefined;
  const address = join(work, "containerd.sock");
  const args = ["--root", join(work, "containerd"), "--state", join(work, "containerd-state"), "--address", address];
  const child = spawn("containerd", args, { stdio: "ignore" });
  for (let waited = 0; !existsSync(address) && waited < 100; waited++) await delay(100);
  return { child, address, pid: child.pid! };
}

async function blobUrls(host: string, tag: string): Promise<string> {
  const accept = "application/vnd.oci.image.manifest.v1+json";
  const manifest = JSON.parse(
    (await run("curl", ["-s", "-H", `Accept: ${accept}`, `http://${host}/v2/bench/manifests/${tag}`])).toString(),
  ) as {
    layers: { digest: string }[];
  };
  return manifest.layers.map(({ digest }) => `http://${host}/v2/bench/blobs/${digest}`).join(" ");
}

function table(tag: string, rounds: number, samples: ReadonlyMap<string, readonly Sample[]>): string {
  const own = median(samples.get("shale")!.map(({ wall }) => wall));
  const lines = [...samples].map(([name, list]) => {
    const walls = list.map(({ wall }) => wall / 1000);
    const wall = median(walls);
    const cells = [
      wall.toFixed(2),
      `${Math.min(...walls).toFixed(2)}-${Math.max(...walls).toFixed(2)}`,
      median(list.map(({ cpu }) => cpu)).toFixed(2),
    ];
    return `| ${name} | ${cells.join(" | ")} | ${((wall * 1000) / own).toFixed(2)} |`;
  });
  return [
    `\nCold pull of the image \`${tag}\`, medians of ${rounds} rounds:\n`,
    "| | wall, s | spread | user + sys, s | ratio to shale |",
    "| --- | --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

function isOnPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((directory) => existsSync(join(directory, program)));
}
