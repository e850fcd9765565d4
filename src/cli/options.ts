/** Options that several commands share. */
import type { OptionSpec } from "./command.ts";

type Options = Readonly<Record<string, OptionSpec>>;

/** Options of every command. */
export const COMMON: Options = {
  store: {
    type: "string",
    argument: "DIR",
    completes: "directory",
    help: "store directory (default: $SHALE_STORE, else shale in $XDG_CACHE_HOME or ~/.cache)",
  },
  json: { type: "boolean", help: "print one JSON document; errors and warnings become JSON lines on standard error" },
  quiet: { type: "boolean", short: "q", help: "print only the essential result: no progress, no notes" },
};

const PROFILES: readonly string[] = ["overlay", "userxattr", "oci"];

export const PLATFORM: Options = {
  platform: { type: "string", argument: "OS/ARCH[/VARIANT]", help: "platform of the image (default: this machine's)" },
};

export const PROFILE: Options = {
  profile: { type: "string", argument: "PROFILE", choices: PROFILES, help: "profile of the layer directories (default: the store's)" },
};

export const MATERIALIZE: Options = {
  materialize: {
    type: "string",
    argument: "WHEN",
    choices: ["eager", "lazy"],
    help: "lazy: ingest layers now, create directories later (default eager)",
  },
};

/** Options of commands that pull. */
export const PULL: Options = {
  "no-index": { type: "boolean", help: "write sidecars without a path index" },
  durability: {
    type: "string",
    argument: "WHEN",
    choices: ["deferred", "barrier"],
    help: "barrier: sync each layer to disk before it is published (default deferred)",
  },
  "keep-blobs": { type: "boolean", help: "keep the compressed layers, too" },
  limit: { type: "string", argument: "NAME=VALUE", multiple: true, help: "raise or lower a limit, see docs/limits.md; may be repeated" },
  "max-bytes": { type: "size", argument: "SIZE", help: "afterwards, free space as shale gc --keep-bytes SIZE does" },
  "min-free": { type: "size", argument: "SIZE", help: "fail before any download unless SIZE remains free" },
  workers: { type: "count", argument: "COUNT", range: [1, 64], help: "number of worker threads, at most 64 (default 2, or 1 on one core)" },
  "require-proof": { type: "boolean", help: "reuse a layer only if this image's repository has served its blob" },
};

/** Options of commands that contact registries. */
export const REGISTRY: Options = {
  "plain-http": { type: "boolean", help: "connect to the registry without TLS" },
  insecure: { type: "boolean", help: "accept any TLS certificate" },
  ca: { type: "string", argument: "FILE", completes: "file", help: "trust the certificates (PEM) in FILE, besides those that Node trusts" },
  "hosts-dir": {
    type: "string",
    argument: "DIR",
    multiple: true,
    completes: "directory",
    help: "directory of hosts.toml files; may be repeated (default: containerd's and Docker's)",
  },
  anonymous: { type: "boolean", help: "send no credentials" },
  http2: { type: "boolean", help: "use HTTP/2 if the registry supports it" },
  "parallel-ranges": {
    type: "count",
    argument: "COUNT",
    range: [2, 8],
    help: "fetch a large layer by COUNT parallel requests, 2 to 8 (default: one request)",
  },
  "parallel-min": {
    type: "size",
    argument: "SIZE",
    help: "with --parallel-ranges: fetch a layer below SIZE by one request (default 64MiB)",
  },
  "allow-foreign-layers": {
    type: "boolean",
    help: "fetch layers that the registry lacks from the URLs in the manifest",
  },
};

export const HELP: OptionSpec = { type: "boolean", short: "h", help: "show this help" };

export interface OptionGroup {
  readonly title: string;
  readonly options: Options;
}

export const COMMON_OPTIONS: OptionGroup = { title: "Common options", options: { ...COMMON, help: HELP } };
export const IMAGE_OPTIONS: OptionGroup = { title: "Image options", options: { ...PLATFORM, ...PROFILE } };
export const PULL_OPTIONS: OptionGroup = { title: "Pull options", options: { ...MATERIALIZE, ...PULL } };
export const REGISTRY_OPTIONS: OptionGroup = { title: "Registry options", options: REGISTRY };
