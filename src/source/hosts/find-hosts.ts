/**
 * Finds the hosts of a registry in the machine's configuration: `certs.d` of containerd (hosts.toml for mirrors, and certificates), and of
 * Docker and the containers tools (only certificates). Reads `<root>/<registry>/`, then `<root>/_default/`.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../errors.ts";
import { invalidFile, readConfiguration, readRequiredConfiguration } from "../configuration-file.ts";
import { registryAddress, type Host } from "./host.ts";
import { readHostsFile, type HostEntry } from "./hosts-file.ts";
import { makeTls, tlsForOtherOrigins, type TlsSettings } from "../http/tls-settings.ts";

export const HOST_DIRECTORIES: readonly string[] = ["/etc/containerd/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"];

export interface HostsOptions {
  readonly directories: readonly string[];
  /** True for hosts without TLS. */
  readonly isPlain: (host: string) => boolean;
  /** True for hosts whose certificates are not verified. */
  readonly isInsecure: (host: string) => boolean;
  /** Certificates of authorities (PEM) for every host. */
  readonly ca: readonly string[];
}

/** The hosts in the order to try; the registry itself is the last one. @throws CONFIGURATION_INVALID */
export async function findHosts(registry: string, options: HostsOptions): Promise<readonly Host[]> {
  const entries = (await readEntries(registry, options.directories)) ?? [NO_ENTRY];
  const certificates = await readCertificates(registry, options.directories);
  return entries.map((entry, index) => toHost({ registry, entry, isLast: index === entries.length - 1, certificates }, options));
}

const NO_ENTRY: HostEntry = { base: undefined, resolves: true, pulls: true, headers: {}, tls: {}, connectTimeout: undefined };

interface Found {
  readonly registry: string;
  readonly entry: HostEntry;
  readonly isLast: boolean;
  readonly certificates: Pick<TlsSettings, "ca" | "clients">;
}

function toHost({ registry, entry, isLast, certificates }: Found, options: HostsOptions): Host {
  const address = registryAddress(registry);
  const base = entry.base ?? new URL(`${options.isPlain(registry) ? "http" : "https"}://${address}/v2`);
  const isRegistry = isLast && base.host === new URL(`${base.protocol}//${address}`).host;
  const own = isRegistry ? certificates : { ca: [], clients: [] };
  const settings = {
    ca: [...options.ca, ...own.ca, ...(entry.tls.ca ?? [])],
    clients: [...own.clients, ...(entry.tls.clients ?? [])],
    verify: (entry.tls.verify ?? true) && !options.isInsecure(isRegistry ? registry : base.host),
  };
  const [here, elsewhere] = [makeTls(settings), tlsForOtherOrigins(settings)];
  const unchecked = makeTls({ ca: settings.ca, verify: false });
  const tls = (url: URL): TlsSettings | undefined => {
    if (url.origin === base.origin) return here;
    return options.isInsecure(url.host) ? unchecked : elsewhere;
  };
  const { resolves, pulls, headers, connectTimeout } = entry;
  return { name: isRegistry ? registry : base.host, base, resolves, pulls, headers, tls, mirror: !isRegistry, connectTimeout };
}

/** The hosts.toml of the first directory that has one for the registry. */
async function readEntries(registry: string, roots: readonly string[]): Promise<readonly HostEntry[] | undefined> {
  for (const root of roots) {
    for (const name of [...directoryNames(registry), "_default"]) {
      const directory = join(root, name);
      const path = join(directory, "hosts.toml");
      const text = await readConfiguration(path);
      if (text !== undefined) return readHostsFile(path, directory, text.toString());
    }
  }
  return undefined;
}

/** In Docker's layout `*.crt` are authorities, and `*.cert` with a `*.key` of the same name are client certificates. */
async function readCertificates(registry: string, roots: readonly string[]): Promise<Found["certificates"]> {
  const ca: string[] = [];
  const clients: { cert: string; key: string }[] = [];
  for (const directory of roots.flatMap((root) => directoryNames(registry).map((name) => join(root, name)))) {
    const names = (await list(directory)).toSorted();
    const read = async (name: string): Promise<string> => (await readRequiredConfiguration(join(directory, name))).toString();
    for (const name of names.filter((file) => file.endsWith(".crt"))) ca.push(await read(name));
    for (const name of names.filter((file) => file.endsWith(".cert"))) {
      const key = name.replace(/cert$/, "key");
      if (!names.includes(key)) throw invalidFile(join(directory, name), `needs its key ${JSON.stringify(key)} in the same directory`);
      clients.push({ cert: await read(name), key: await read(key) });
    }
  }
  return { ca, clients };
}

/** For `host:port` containerd also accepts `host_port_`. */
function directoryNames(registry: string): readonly string[] {
  const port = /^(.+):([0-9]+)$/.exec(registry);
  return port === null ? [registry] : [`${port[1]}_${port[2]}_`, registry];
}

async function list(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    if (isErrno(error, "EACCES")) throw invalidFile(directory, "cannot be read");
    throw error;
  }
}
