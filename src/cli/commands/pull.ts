/** `shale pull`: pulls an image into the store, and creates its layer directories. */
import type { Image, Profile, PullOptions, PullPolicy } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { storePath } from "../open-store.ts";
import { COMMON, MATERIALIZE, PLATFORM, PROFILE, PULL, REGISTRY } from "../options.ts";
import { DeferredProgress } from "../progress/deferred-progress.ts";
import { openRegistry, registryOptions, storeOptions } from "../registry-options.ts";
import { Reporter } from "../reporter.ts";
import { showCount, showDuration, showJson, showMessage, showSize } from "../show.ts";
import { amount, flag, text } from "../values.ts";
import { UsageError } from "../usage-error.ts";

const POLICIES = ["if-missing", "always", "never"] as const satisfies readonly PullPolicy[];

export const pullCommand: Command = {
  name: "pull",
  summary: "Pull an image into the store, and print its layer directories.",
  arguments: [{ name: "REFERENCE", completes: "reference" }],
  options: {
    ...COMMON,
    policy: { type: "string", argument: "POLICY", choices: POLICIES, help: "when to contact the registry (default if-missing)" },
    force: { type: "boolean", help: "download and ingest all layers again, even those in the store" },
    as: { type: "string", argument: "NAME", help: "store the image as NAME instead of REFERENCE" },
    ...MATERIALIZE,
    ...PLATFORM,
    ...PROFILE,
    lease: { type: "string", argument: "NAME", completes: "lease", help: "keep the image by a lease, until shale lease rm NAME" },
    pin: { type: "boolean", help: "pin the reference, so that no budget removes its image" },
    "lease-ttl": { type: "duration", argument: "TIME", help: "with --lease: the lease expires after TIME" },
    ...PULL,
    ...REGISTRY,
  },
  notes: [
    "Standard output: the reference, the manifest digest, what was downloaded, then the layer directories, one per line, bottom to top. Progress goes to standard error.",
    "Never write into layer directories: images share their files. Mount them read-only, as lower layers of an overlay (shale mount), or copy them (shale rootfs).",
  ],
  json: "{ reference, manifestDigest, cached, layers, config, stats }",
  examples: [
    ["shale pull alpine:3.20", "from Docker Hub, for this machine's platform"],
    ["shale pull --policy never --json alpine:3.20", "from the store, without network"],
    ["shale pull --plain-http --store /var/lib/shale localhost:5000/app@sha256:...", "from your own registry, into another store"],
    ["shale pull --platform linux/arm64/v8 oci:/srv/images/app:latest", "from an OCI image layout"],
    ["docker save app:1 | shale pull docker-archive:-", "from an archive on standard input (docker-archive or oci-archive)"],
    ["shale pull --lease sandbox-42 --lease-ttl 12h alpine:3.20", "keep the image for a sandbox that outlives this command"],
  ],
  run: pull,
};

async function pull(line: Line, context: Context): Promise<void> {
  const { args, values } = line;
  const { signal, stdout } = context;
  if (values["lease-ttl"] !== undefined && values["lease"] === undefined) throw new UsageError("--lease-ttl needs --lease");
  const progress = new DeferredProgress(context, new Reporter(line, context));
  const { profile, ...options } = pullOptions(line);
  const asked = registryOptions(line);
  const lease = text(values, "lease");
  try {
    const { openStore, Registry } = await context.loadBoot();
    const { onWarning, note } = progress;
    await using store = await openStore(storePath(line, context), storeOptions(line, { signal, onWarning, note }));
    await using registry = openRegistry(Registry, { ...asked, store });
    await using image = await registry.pull(args[0] ?? "", {
      ...options,
      as: text(values, "as"),
      pullPolicy: text(values, "policy") as PullPolicy | undefined,
      force: flag(values, "force"),
      profile,
      signal,
      onProgress: progress.onEvent,
    });
    if (lease !== undefined) await store.lease(lease, image, { ttlMs: amount(values, "lease-ttl") });
    if (flag(values, "pin")) await store.pin(image.reference, { platform: options.platform });
    await progress.stop();
    stdout.write(renderPulled(image, line));
  } finally {
    await progress.stop();
  }
}

/** Options of `Registry#pull` that several commands have. */
export function pullOptions({ values }: Pick<Line, "values">): PullOptions {
  return {
    platform: text(values, "platform"),
    profile: text(values, "profile") as Profile | undefined,
    buildIndex: !flag(values, "no-index"),
    materialize: (text(values, "materialize") as "eager" | "lazy" | undefined) ?? "eager",
    durability: text(values, "durability") as "deferred" | "barrier" | undefined,
  };
}

/** What `pull` prints. */
export function renderPulled(image: Image, { values }: Pick<Line, "values">): string {
  const { reference, manifestDigest, cached, layers, config, stats } = image;
  if (flag(values, "json")) return `${showJson({ reference, manifestDigest, cached, layers, config, stats })}\n`;
  const head = [showMessage(reference), manifestDigest, cached ? "cached" : fetched(image)];
  return [...(flag(values, "quiet") ? [] : head), ...layers].map((line) => `${line}\n`).join("");
}

/** `downloaded 3.63 MB in 1 layer, ...` */
export function fetched({ stats }: Pick<Image, "stats">): string {
  const { downloadedBytes, ingestedLayers, newChunks, newChunkBytes, durationMs } = stats;
  const news = `${showCount(newChunks, "new file")} (${showSize(newChunkBytes)})`;
  return `downloaded ${showSize(downloadedBytes)} in ${showCount(ingestedLayers, "layer")}, ${news}, ${showDuration(durationMs)}`;
}
