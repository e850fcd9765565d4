/** `shale pull`: an image into the store, and its layers as directories. */
import type { Image, Profile, PullPolicy } from "../index.ts";
import type { Command, Context, OptionValues } from "./command.ts";
import { defaultStore } from "./default-store.ts";
import { DeferredProgress } from "./progress/deferred-progress.ts";
import { showCount, showDuration, showJson, showMessage, showSize } from "./show.ts";

const POLICIES = ["if-missing", "always", "never"] as const satisfies readonly PullPolicy[];
const PROFILES = ["overlay", "userxattr", "oci"] as const satisfies readonly Profile[];

export const pullCommand: Command = {
  name: "pull",
  summary: "Pulls an image into the store and prints its layer directories, bottom to top.",
  arguments: ["REFERENCE"],
  options: {
    store: { type: "string", argument: "DIR", help: "the store; default $SHALE_STORE, else shale in $XDG_CACHE_HOME or ~/.cache" },
    policy: { type: "string", argument: "POLICY", choices: POLICIES, help: "when to ask the registry (default if-missing)" },
    force: { type: "boolean", help: "download and ingest again, even what is in the store" },
    lazy: { type: "boolean", help: "do not make the layer directories yet, only all that they are made of" },
    platform: { type: "string", argument: "OS/ARCH[/VARIANT]", help: "default: this machine's" },
    profile: { type: "string", argument: "PROFILE", choices: PROFILES, help: "form of the layer directories (default: the store's)" },
    "plain-http": { type: "boolean", help: "talk to the registry without TLS" },
    "no-index": { type: "boolean", help: "leave the path index out of the sidecars" },
    json: { type: "boolean", help: "print one JSON object, also for an error" },
    quiet: { type: "boolean", short: "q", help: "no progress, and only the layer directories on standard output" },
  },
  notes: [
    "Standard output has the reference, the manifest's digest, what was fetched, and then the layer\ndirectories, one a line, bottom to top. Progress goes to standard error.",
    "The directories are read-only by contract: their files are shared with other images. Mount them\nread-only, as lower layers of an overlay, or copy them.",
  ],
  examples: [
    ["shale pull alpine:3.20", "the image of this machine's platform, from Docker Hub"],
    ["shale pull --policy never --json alpine:3.20", "what is in the store, without a network"],
    [
      "shale pull --plain-http --store /var/lib/shale localhost:5000/app@sha256:...",
      "from a registry of one's own, into a store elsewhere",
    ],
    ["shale pull --platform linux/arm64/v8 oci:/srv/images/app:latest", "from an OCI image layout"],
  ],
  run: pull,
};

async function pull(
  { args, values }: { readonly args: readonly string[]; readonly values: OptionValues },
  context: Context,
): Promise<void> {
  const { signal, stdout } = context;
  const profile = text(values, "profile") as Profile | undefined;
  const progress = new DeferredProgress(context, { quiet: values["quiet"] === true });
  try {
    const { openStore, Registry } = await context.loadApi();
    await using store = await openStore(text(values, "store") ?? defaultStore(context.env), {
      signal,
      profile,
      onWarning: warningsTo(progress),
    });
    await using registry = new Registry({ store, plainHttp: values["plain-http"] === true });
    await using image = await registry.pull(args[0] ?? "", {
      pullPolicy: text(values, "policy") as PullPolicy | undefined,
      force: values["force"] === true,
      buildIndex: values["no-index"] !== true,
      materialize: values["lazy"] === true ? "lazy" : "eager",
      platform: text(values, "platform"),
      profile,
      signal,
      onProgress: progress.onEvent,
    });
    await progress.stop();
    stdout.write(render(image, values));
  } finally {
    await progress.stop();
  }
}

function warningsTo(progress: DeferredProgress): (code: string, message: string) => void {
  return (code, message) => progress.note(`warning: ${code}: ${showMessage(message)}`);
}

function text(values: OptionValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" ? value : undefined;
}

function render(image: Image, values: OptionValues): string {
  const { reference, manifestDigest, cached, layers, config, stats } = image;
  if (values["json"] === true) return `${showJson({ reference, manifestDigest, cached, layers, config, stats })}\n`;
  const head = [showMessage(reference), manifestDigest, cached ? "cached" : fetched(image)];
  return [...(values["quiet"] === true ? [] : head), ...layers].map((line) => `${line}\n`).join("");
}

function fetched({ stats }: Image): string {
  const { downloadedBytes, ingestedLayers, newChunks, newChunkBytes, milliseconds } = stats;
  const news = `${showCount(newChunks, "new file")} (${showSize(newChunkBytes)})`;
  return `downloaded ${showSize(downloadedBytes)} in ${showCount(ingestedLayers, "layer")}, ${news}, ${showDuration(milliseconds)}`;
}
