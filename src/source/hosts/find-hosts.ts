/**
 * The hosts of a registry as the machine is configured: containerd's `certs.d` (hosts.toml for mirrors, certificates) and
 * Docker's and the containers tools' (certificates alone). `<root>/<registry>/`, then `<root>/_default/`.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../errors.ts";
import { invalidFile, readIfThere, readRequired } from "../configuration-file.ts";
import { registryAddress, type Host } from "./host.ts";
import { readHostsFile, type HostEntry } from "./hosts-file.ts";
import { abroad, makeTls, type TlsSettings } from "../http/tls-settings.ts";

export const HOST_DIRECTORIES: readonly string[] = ["/etc/containerd/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"];

export interface HostsOptions {
  readonly directories: readonly string[];
  /** Hosts that have no TLS. */
  readonly isPlain: (host: string) => boolean;
  /** Hosts whose certificates are not checked. */
  readonly isInsecure: (host: string) => boolean;
  /** PEM, for every host. */
  readonly ca: readonly string[];
}

/** In the order to try. The registry itself is the last one. @throws CONFIGURATION_INVALID */
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
  const [here, elsewhere] = [makeTls(settings), abroad(settings)];
  const unchecked = makeTls({ ca: settings.ca, verify: false });
  const tls = (url: URL): TlsSettings | undefined => {
    if (url.origin === base.origin) return here;
    return options.isInsecure(url.host) ? unchecked : elsewhere;
  };
  const { resolves, pulls, headers, connectTimeout } = entry;
  return { name: isRegistry ? registry : base.host, base, resolves, pulls, headers, tls, mirror: !isRegistry, connectTimeout };
}

/** Of the first directory that has a hosts.toml for the registry. */
async function readEntries(registry: string, roots: readonly string[]): Promise<readonly HostEntry[] | undefined> {
  for (const root of roots) {
    for (const name of [...directoryNames(registry), "_default"]) {
      const directory = join(root, name);
      const path = join(directory, "hosts.toml");
      const text = await readIfThere(path);
      if (text !== undefined) return readHostsFile(path, directory, text.toString());
    }
  }
  return undefined;
}

/** Docker's layout: `*.crt` are authorities, `*.cert` with a `*.key` of that name are what we show. */
async function readCertificates(registry: string, roots: readonly string[]): Promise<Found["certificates"]> {
  const ca: string[] = [];
  const clients: { cert: string; key: string }[] = [];
  for (const directory of roots.flatMap((root) => directoryNames(registry).map((name) => join(root, name)))) {
    const names = (await list(directory)).toSorted();
    const read = async (name: string): Promise<string> => (await readRequired(join(directory, name))).toString();
    for (const name of names.filter((file) => file.endsWith(".crt"))) ca.push(await read(name));
    for (const name of names.filter((file) => file.endsWith(".cert"))) {
      const key = name.replace(/cert$/, "key");
      if (!names.includes(key)) throw invalidFile(join(directory, name), `has no ${JSON.stringify(key)} beside it`);
      clients.push({ cert: await read(name), key: await read(key) });
    }
  }
  return { ca, clients };
}

/** containerd also takes `host_port_` for `host:port`. */
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
