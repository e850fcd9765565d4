/** `shale pull`: an image into the store, and its layers as directories. */
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
  summary: "Pulls an image into the store and prints its layer directories.",
  arguments: [{ name: "REFERENCE", completes: "reference" }],
  options: {
    ...COMMON,
    policy: { type: "string", argument: "POLICY", choices: POLICIES, help: "when to ask the registry (default if-missing)" },
    force: { type: "boolean", help: "download and ingest again, even what is in the store" },
    as: { type: "string", argument: "NAME", help: "what the store is to call the image, in place of REFERENCE" },
    ...MATERIALIZE,
    ...PLATFORM,
    ...PROFILE,
    lease: { type: "string", argument: "NAME", completes: "lease", help: "keep the image under this name until shale lease rm NAME" },
    pin: { type: "boolean", help: "pin the reference: no budget removes its image" },
    "lease-ttl": { type: "duration", argument: "TIME", help: "with --lease: at most so long" },
    ...PULL,
    ...REGISTRY,
  },
  notes: [
    "Standard output has the reference, the manifest's digest, what was fetched, and then the layer directories, one a line, bottom to top. Progress goes to standard error.",
    "The directories are read-only by contract: their files are shared with other images. Mount them read-only, as lower layers of an overlay (shale mount), or copy them (shale rootfs).",
  ],
  json: "{ reference, manifestDigest, cached, layers, config, stats }",
  examples: [
    ["shale pull alpine:3.20", "the image of this machine's platform, from Docker Hub"],
    ["shale pull --policy never --json alpine:3.20", "what is in the store, without a network"],
    [
      "shale pull --plain-http --store /var/lib/shale localhost:5000/app@sha256:...",
      "from a registry of one's own, into a store elsewhere",
    ],
    ["shale pull --platform linux/arm64/v8 oci:/srv/images/app:latest", "from an OCI image layout"],
    ["docker save app:1 | shale pull docker-archive:-", "from standard input; oci-archive: is the other kind of archive"],
    ["shale pull --lease sandbox-42 --lease-ttl 12h alpine:3.20", "kept for a sandbox that outlives this command"],
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

/** Options of `Registry#pull` that the commands share. */
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
