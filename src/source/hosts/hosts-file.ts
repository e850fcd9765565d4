/** Reads containerd's hosts.toml: https://github.com/containerd/containerd/blob/main/docs/hosts.md */
import { isError } from "../../errors.ts";
import { resolve } from "node:path";
import { parse, type TomlTable } from "smol-toml";
import { JsonObject } from "../../image/document.ts";
import { invalidFile, readRequiredConfiguration } from "../configuration-file.ts";
import type { TlsSettings } from "../http/tls-settings.ts";

export interface HostEntry {
  /** The URL of the API; undefined for the registry itself if the file does not give it. */
  readonly base: URL | undefined;
  readonly resolves: boolean;
  readonly pulls: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** Only the settings that the file has. */
  readonly tls: Partial<TlsSettings>;
  readonly connectTimeout: number | undefined;
}

/** The hosts in the file's order, the registry itself last. @throws CONFIGURATION_INVALID */
export async function readHostsFile(path: string, directory: string, text: string): Promise<readonly HostEntry[]> {
  const fail = (problem: string): Error => invalidFile(path, problem);
  const root = new JsonObject(parseToml(text, fail), "file", fail);
  const hosts = root.object("host");
  const entries: HostEntry[] = [];
  for (const server of root.keys("host") ?? []) {
    const table = hosts?.object(server);
    if (table !== undefined) entries.push(await readEntry({ server, table, directory, fail }));
  }
  return [...entries, await readEntry({ server: root.string("server") ?? "", table: root, directory, fail })];
}

interface Table {
  readonly server: string;
  readonly table: JsonObject;
  /** The base of relative paths. */
  readonly directory: string;
  readonly fail: (problem: string) => Error;
}

async function readEntry(entry: Table): Promise<HostEntry> {
  const { server, table, fail } = entry;
  const capabilities = (table.strings("capabilities") ?? []).map((name) => name.toLowerCase());
  const stranger = capabilities.find((name) => !["pull", "resolve", "push"].includes(name));
  if (stranger !== undefined) throw fail(`has the unknown capability ${JSON.stringify(stranger)}`);
  const can = (name: string): boolean => capabilities.length === 0 || capabilities.includes(name);
  return {
    base: server === "" ? undefined : parseServer(server, table.boolean("override_path") ?? false, fail),
    resolves: can("resolve"),
    pulls: can("pull"),
    headers: readHeaders(entry),
    tls: await readTls(entry),
    connectTimeout: parseDuration(table.string("dial_timeout"), fail),
  };
}

/** The default scheme is https; `/v2` is appended unless `overridePath` is true. */
function parseServer(server: string, overridePath: boolean, fail: (problem: string) => Error): URL {
  const url = URL.parse(/^https?:\/\//.test(server) ? server : `https://${server}`);
  if (url === null || url.username !== "" || url.password !== "") throw fail("names a host that is not a URL, or a URL with a password");
  url.search = url.hash = "";
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = overridePath || path.endsWith("/v2") ? path : `${path}/v2`;
  return url;
}

function readHeaders({ table, fail }: Table): Record<string, string> {
  const header = table.object("header");
  const headers: Record<string, string> = {};
  for (const name of table.keys("header") ?? []) {
    const value = header?.get(name);
    const values: unknown[] = Array.isArray(value) ? value : [value];
    const legal =
      /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && values.every((text) => typeof text === "string" && /^[\t\x20-\x7e]*$/.test(text));
    if (!legal) throw fail(`has a malformed header ${JSON.stringify(name)}`);
    headers[name.toLowerCase()] = values.join(", ");
  }
  return headers;
}

async function readTls({ table, directory, fail }: Table): Promise<Partial<TlsSettings>> {
  const read = async (path: unknown): Promise<string> => {
    if (typeof path !== "string") throw fail(`has a "ca" or "client" that is not a path`);
    return (await readRequiredConfiguration(resolve(directory, path))).toString();
  };
  const list = (name: string): readonly unknown[] => {
    const value = table.get(name);
    return value === undefined ? [] : Array.isArray(value) ? value : [value];
  };
  const ca = await Promise.all(list("ca").map(read));
  const clients = await Promise.all(
    list("client").map(async (pair) => {
      const [cert, key = cert] = await Promise.all((Array.isArray(pair) ? pair : [pair]).map(read));
      if (cert === undefined || key === undefined) throw fail(`has a "client" without a certificate`);
      return { cert, key };
    }),
  );
  const skip = table.boolean("skip_verify");
  return { ...(ca.length > 0 && { ca }), ...(clients.length > 0 && { clients }), ...(skip !== undefined && { verify: !skip }) };
}

const UNITS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** Milliseconds of a duration as Go writes it: `1m30s`. */
function parseDuration(text: string | undefined, fail: (problem: string) => Error): number | undefined {
  if (text === undefined || text === "") return undefined;
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)/g)];
  const sum = parts.reduce((total, [, value, unit]) => total + Number(value) * (UNITS.get(unit ?? "") ?? 0), 0);
  if (parts.map(([part]) => part).join("") !== text || sum < 1) throw fail(`has a malformed dial_timeout ${JSON.stringify(text)}`);
  return Math.round(sum);
}

/** The error has only the line: the parser's message quotes the file, which may contain a secret header. */
function parseToml(text: string, fail: (problem: string) => Error): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    const line = isError(error) && "line" in error ? ` (line ${String(error.line)})` : "";
    throw fail(`is not valid TOML${line}`);
  }
}
