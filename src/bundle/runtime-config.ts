/**
 * Converts an image config to the config.json of an OCI runtime bundle:
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/conversion.md. The config is untrusted: values that readers interpret
 * differently, or that affect the host, are refused or left out.
 */
import { posix } from "node:path";
import { ShaleError } from "../errors.ts";
import type { ImageConfig } from "../image/config.ts";
import { quote } from "../image/document.ts";
import type { IdMappings } from "./id-mappings.ts";
import type { ContainerUser } from "./resolve-user.ts";
import { DEFAULT_CAPABILITIES, DEFAULT_PATH, defaultMounts, MASKED_PATHS, READONLY_PATHS, type Mount } from "./runtime-defaults.ts";

export interface RuntimeOptions {
  readonly user: ContainerUser;
  /** Replaces the image's Cmd. `entrypoint` replaces its Entrypoint. */
  readonly args?: readonly string[] | undefined;
  readonly entrypoint?: readonly string[] | undefined;
  /** `NAME=value`. Added to the image's variables; replaces a variable of the same name. */
  readonly env?: readonly string[] | undefined;
  readonly cwd?: string | undefined;
  readonly hostname?: string | undefined;
  readonly terminal?: boolean | undefined;
  readonly readOnly: boolean;
  /** Use a user namespace with these ids. */
  readonly mappings?: IdMappings | undefined;
  readonly network: "none" | "host";
  readonly volumes: "tmpfs" | "rootfs";
}

export interface RuntimeConfig {
  /** The content of config.json. */
  readonly document: Readonly<Record<string, unknown>>;
  /** Labels that did not become annotations because runtimes act on them. */
  readonly omittedLabels: readonly string[];
}

/** MAX_ARG_STRLEN of Linux, and the limit for all strings together: less than a quarter of the smallest usual stack. */
const MAX_STRING: number = 128 * 1024 - 1;
const MAX_STRINGS: number = 1024 * 1024;
const MAX_VOLUMES = 256;
const MAX_PORTS = 4096;
/** Annotations that crun, runc, systemd, Podman and Kata act on. */
const DIRECTIVES: RegExp =
  /^(?:run\.oci\.|org\.systemd\.property\.|io\.podman\.|io\.katacontainers\.|io\.kubernetes\.|com\.github\.containers\.|module\.wasm\.)/;

/** @throws CONFIG_INVALID */
export function runtimeConfig(config: ImageConfig, options: RuntimeOptions): RuntimeConfig {
  const { user, mappings, network, readOnly, hostname = "shale", terminal = false } = options;
  const args = argsOf(config, options);
  const env = envOf(config, options);
  refuseLarge([...args, ...env]);
  const { annotations, omitted } = annotationsOf(config);
  const capable = user.uid === 0 ? DEFAULT_CAPABILITIES : [];
  const { uid, gid, additionalGids } = user;
  const mounts = [
    ...defaultMounts({ rootless: mappings !== undefined, hostNetwork: network === "host" }),
    ...(options.volumes === "tmpfs" ? volumesOf(config) : []),
  ];
  const document = {
    ociVersion: "1.0.2",
    process: {
      terminal,
      user: { uid, gid, ...(additionalGids.length > 0 && { additionalGids }) },
      args,
      env,
      cwd: cwdOf(config, options),
      capabilities: { bounding: DEFAULT_CAPABILITIES, effective: capable, permitted: capable, inheritable: [], ambient: [] },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: readOnly },
    hostname,
    mounts,
    annotations,
    linux: linuxOf(mappings, network),
  };
  return { document, omittedLabels: omitted };
}

function argsOf(config: ImageConfig, { args, entrypoint }: RuntimeOptions): readonly string[] {
  // a replaced entrypoint drops the command of the image, as with docker run --entrypoint
  const command = args ?? (entrypoint === undefined ? config.cmd : []);
  const all = [...(entrypoint ?? config.entrypoint), ...command];
  if (all.length === 0 || all[0] === "") throw invalid("it names no program to run (Entrypoint, Cmd); give the arguments yourself");
  return all;
}

/** The last assignment of a name counts. @throws CONFIG_INVALID for a string that is not an assignment */
function envOf(config: ImageConfig, { env = [], user, terminal }: RuntimeOptions): readonly string[] {
  const variables = new Map<string, string>();
  for (const text of [...config.env, ...env]) {
    const equals = text.indexOf("=");
    if (equals < 1) throw invalid(`its environment has ${quote(text)}, which is not NAME=value`);
    const name = text.slice(0, equals);
    variables.set(name, text);
  }
  const defaults = [DEFAULT_PATH, `HOME=${user.home ?? "/"}`, ...(terminal === true ? ["TERM=xterm"] : [])];
  const missing = defaults.filter((text) => !variables.has(text.slice(0, text.indexOf("="))));
  return [...missing, ...variables.values()];
}

function refuseLarge(strings: readonly string[]): void {
  let total = 0;
  for (const text of strings) {
    const bytes = Buffer.byteLength(text);
    total += bytes + 9;
    if (text.includes("\0")) throw invalid("an argument or variable contains a NUL character");
    if (bytes > MAX_STRING || total > MAX_STRINGS) throw invalid("its arguments and environment are longer than Linux allows");
  }
}

function cwdOf(config: ImageConfig, options: RuntimeOptions): string {
  return absolute(options.cwd ?? config.workingDir ?? "/", "working directory");
}

function absolute(path: string, what: string): string {
  if (!path.startsWith("/") || path.includes("\0") || Buffer.byteLength(path) > 4095)
    throw invalid(`its ${what} ${quote(path)} is not an absolute path`);
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}

/** Puts each volume on a tmpfs, which starts with a copy of the image's files at that path. */
function volumesOf({ volumes }: ImageConfig): Mount[] {
  if (volumes.length > MAX_VOLUMES) throw invalid(`it has ${volumes.length} volumes, more than ${MAX_VOLUMES}`);
  const paths = [...new Set(volumes.map((path) => absolute(path, "volume")))].sort();
  const forbidden = paths.find((path) => path === "/" || /^\/(?:proc|sys|dev)(?:\/|$)/.test(path));
  if (forbidden !== undefined) throw invalid(`it has a volume ${quote(forbidden)}, which would hide a system directory`);
  return paths.map((destination) => ({
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "nodev", "tmpcopyup", "mode=0755"],
  }));
}

function annotationsOf(config: ImageConfig): { annotations: Record<string, string>; omitted: string[] } {
  const { platform, author, created, stopSignal, exposedPorts, labels } = config;
  if (exposedPorts.length > MAX_PORTS) throw invalid(`it exposes ${exposedPorts.length} ports, more than ${MAX_PORTS}`);
  const implied: readonly (readonly [string, string | undefined])[] = [
    ["os", platform.os],
    ["architecture", platform.architecture],
    ["variant", platform.variant],
    ["os.version", platform.osVersion],
    ["author", author],
    ["created", created],
    ["stopSignal", stopSignal],
    ["exposedPorts", exposedPorts.length === 0 ? undefined : exposedPorts.join(",")],
  ];
  const annotations: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of implied) if (value !== undefined) annotations[`org.opencontainers.image.${name}`] = value;
  const omitted = Object.keys(labels).filter((name) => name === "" || DIRECTIVES.test(name));
  for (const [name, value] of Object.entries(labels)) if (!omitted.includes(name)) annotations[name] = value;
  return { annotations, omitted };
}

function linuxOf(mappings: IdMappings | undefined, network: "none" | "host"): Record<string, unknown> {
  const types = ["pid", "ipc", "uts", "mount", "cgroup", ...(network === "none" ? ["network"] : []), ...(mappings ? ["user"] : [])];
  const ids = (list: IdMappings["uids"]): unknown[] =>
    list.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size }));
  return {
    ...(mappings && { uidMappings: ids(mappings.uids), gidMappings: ids(mappings.gids) }),
    namespaces: types.map((type) => ({ type })),
    maskedPaths: MASKED_PATHS,
    readonlyPaths: READONLY_PATHS,
    ...(mappings === undefined && { resources: { devices: [{ allow: false, access: "rwm" }] } }),
  };
}

function invalid(problem: string): ShaleError<"CONFIG_INVALID"> {
  return new ShaleError("CONFIG_INVALID", `the image config cannot be run: ${problem}`, {});
}
