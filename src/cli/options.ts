/** Options that commands have in common. */
import type { OptionSpec } from "./command.ts";

type Options = Readonly<Record<string, OptionSpec>>;

/** Of every command. */
export const COMMON: Options = {
  store: {
    type: "string",
    argument: "DIR",
    completes: "directory",
    help: "the store; default $SHALE_STORE, else shale in $XDG_CACHE_HOME or ~/.cache",
  },
  json: { type: "boolean", help: "print one JSON document; errors and warnings are JSON lines on standard error" },
  quiet: { type: "boolean", short: "q", help: "no progress and no notes, and only the essence of the result" },
};

const PROFILES: readonly string[] = ["overlay", "userxattr", "oci"];

export const PLATFORM: Options = {
  platform: { type: "string", argument: "OS/ARCH[/VARIANT]", help: "which image of a reference (default: this machine's)" },
};

export const PROFILE: Options = {
  profile: { type: "string", argument: "PROFILE", choices: PROFILES, help: "form of the layer directories (default: the store's)" },
};

export const MATERIALIZE: Options = {
  materialize: {
    type: "string",
    argument: "WHEN",
    choices: ["eager", "lazy"],
    help: "lazy: not yet the layer directories, only all that they are made of (default eager)",
  },
};

/** Of commands that ingest. */
export const PULL: Options = {
  "no-index": { type: "boolean", help: "leave the path index out of the sidecars" },
  durability: {
    type: "string",
    argument: "WHEN",
    choices: ["deferred", "barrier"],
    help: "barrier: each layer is on the disk before it counts as there (default deferred)",
  },
  "keep-blobs": { type: "boolean", help: "keep the compressed layers as well" },
  limit: { type: "string", argument: "NAME=VALUE", multiple: true, help: "raise or lower a limit of docs/limits.md; may be repeated" },
  "max-bytes": { type: "size", argument: "SIZE", help: "afterwards make room as shale gc --keep-bytes does" },
  "min-free": { type: "size", argument: "SIZE", help: "fail, before anything is fetched, if so much would not stay free" },
  workers: { type: "count", argument: "COUNT", range: [1, 64], help: "worker threads, at most 64 (default 2, or 1 on one core)" },
  "require-proof": { type: "boolean", help: "use a layer of the store only if this image's repository once gave its blob" },
};

/** Of commands that ask registries. */
export const REGISTRY: Options = {
  "plain-http": { type: "boolean", help: "talk to the registry without TLS" },
  insecure: { type: "boolean", help: "take any certificate" },
  ca: { type: "string", argument: "FILE", completes: "file", help: "certificates (PEM) to trust beside those that Node trusts" },
  "hosts-dir": {
    type: "string",
    argument: "DIR",
    multiple: true,
    completes: "directory",
    help: "directory with hosts.toml files; may be repeated (default: containerd's and Docker's)",
  },
  anonymous: { type: "boolean", help: "use no credentials" },
  http2: { type: "boolean", help: "offer HTTP/2 to registries with TLS" },
  "parallel-ranges": {
    type: "count",
    argument: "COUNT",
    range: [2, 8],
    help: "fetch a large layer by so many requests at a time, 2 to 8 (default: one)",
  },
  "parallel-min": { type: "size", argument: "SIZE", help: "with --parallel-ranges: a smaller layer comes by one request (default 64MiB)" },
  "allow-foreign-layers": {
    type: "boolean",
    help: "fetch layers that the registry does not have from where the manifest says they are",
  },
};

export const HELP: OptionSpec = { type: "boolean", short: "h", help: "show this help" };
