/** Image configs: https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md */
import { ShaleError } from "../errors.ts";
import { parseDiffId, type DiffId } from "./digest.ts";
import { JsonObject, parseJson } from "./document.ts";
import { normalizePlatform, type Platform } from "./platform.ts";

/** The image config, parsed and validated. Absent fields of the document are empty lists, maps or undefined. */
export interface ImageConfig {
  readonly platform: Platform;
  readonly created?: string;
  readonly author?: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=value`, in order. */
  readonly env: readonly string[];
  readonly workingDir?: string;
  readonly user?: string;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal?: string;
  /** Bottom to top, one per layer of the manifest. */
  readonly diffIds: readonly DiffId[];
  readonly history: readonly HistoryEntry[];
}

export interface HistoryEntry {
  readonly created?: string;
  readonly createdBy?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly emptyLayer?: boolean;
}

/**
 * Reads an image config. Normalizes the platform and treats empty strings as absent; `labels` has no prototype.
 *
 * @throws CONFIG_INVALID
 */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const fields = new JsonObject(parseJson(bytes, configInvalid), "document", configInvalid);
  return {
    platform: parseConfigPlatform(fields),
    ...optional("created", fields.string("created")),
    ...optional("author", fields.string("author")),
    ...parseProcess(fields.object("config")),
    diffIds: parseDiffIds(fields.object("rootfs")),
    history: (fields.array("history") ?? []).map((entry, index) => parseHistory(new JsonObject(entry, `history[${index}]`, configInvalid))),
  };
}

type Process = Omit<ImageConfig, "platform" | "created" | "author" | "diffIds" | "history">;

/** Reads the `config` object: the defaults of a container's process. */
function parseProcess(fields: JsonObject | undefined): Process {
  return {
    entrypoint: execStrings(fields, "Entrypoint"),
    cmd: execStrings(fields, "Cmd"),
    env: execStrings(fields, "Env"),
    ...optional("workingDir", execString(fields, "WorkingDir")),
    ...optional("user", execString(fields, "User")),
    exposedPorts: fields?.keys("ExposedPorts") ?? [],
    volumes: fields?.keys("Volumes") ?? [],
    labels: fields?.stringMap("Labels") ?? (Object.create(null) as Record<string, string>),
    ...optional("stopSignal", execString(fields, "StopSignal")),
  };
}

function parseConfigPlatform(fields: JsonObject): Platform {
  const variant = fields.string("variant");
  const osVersion = fields.string("os.version");
  return normalizePlatform({
    os: fields.requiredString("os"),
    architecture: fields.requiredString("architecture"),
    ...optional("variant", variant),
    ...optional("osVersion", osVersion),
    osFeatures: fields.strings("os.features") ?? [],
  });
}

function parseDiffIds(fields: JsonObject | undefined): readonly DiffId[] {
  if (fields === undefined) throw configInvalid("document.rootfs is missing");
  if (fields.string("type") !== "layers") throw fields.error("type", 'is not "layers"');
  return (fields.array("diff_ids") ?? []).map((value, index) => {
    try {
      return parseDiffId(value);
    } catch (error) {
      throw fields.error(`diff_ids[${index}]`, "is malformed", error);
    }
  });
}

function parseHistory(fields: JsonObject): HistoryEntry {
  const emptyLayer = fields.boolean("empty_layer");
  return {
    ...optional("created", fields.string("created")),
    ...optional("createdBy", fields.string("created_by")),
    ...optional("author", fields.string("author")),
    ...optional("comment", fields.string("comment")),
    ...(emptyLayer !== undefined && { emptyLayer }),
  };
}

/** Refuses NUL, which ends a string for execve: the kernel would not see the rest. */
function execStrings(fields: JsonObject | undefined, name: string): readonly string[] {
  const values = fields?.strings(name) ?? [];
  if (values.some((value) => value.includes("\0"))) throw configInvalid(`config.${name} contains a NUL character`);
  return values;
}

function execString(fields: JsonObject | undefined, name: string): string | undefined {
  const value = fields?.string(name);
  if (value?.includes("\0")) throw configInvalid(`config.${name} contains a NUL character`);
  return value;
}

function optional<K extends string>(name: K, value: string | undefined): { [key in K]?: string } {
  return value === undefined || value === "" ? {} : ({ [name]: value } as { [key in K]?: string });
}

function configInvalid(problem: string, cause?: unknown): ShaleError<"CONFIG_INVALID"> {
  return new ShaleError(
    "CONFIG_INVALID",
    `the image config is malformed: ${problem}; build or push the image again`,
    {},
    cause === undefined ? undefined : { cause },
  );
}
