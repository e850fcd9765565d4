/**
 * Reads the credential files of Docker and the containers tools: config.json and auth.json.
 * https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
import { JsonObject, parseJson } from "../../image/document.ts";
import { invalidFile } from "../configuration-file.ts";
import type { Credentials } from "./credentials.ts";

/** The key of docker.io in the files of the Docker tools. */
export const DOCKER_HUB_SERVER = "https://index.docker.io/v1/";
const DOCKER_HUB: ReadonlySet<string> = new Set(["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

export class CredentialFile {
  readonly #path: string;
  readonly #auths: JsonObject | undefined;
  readonly #keys: readonly string[];
  readonly #helpers: Readonly<Record<string, string>>;
  readonly #store: string | undefined;

  /** @throws CONFIGURATION_INVALID, without text of the file */
  constructor(path: string, bytes: Uint8Array) {
    const fail = (): Error => invalidFile(path, "is not a credentials file of Docker or the containers tools");
    const fields = new JsonObject(parseJson(bytes, fail), "file", fail);
    this.#path = path;
    this.#auths = fields.object("auths");
    this.#keys = fields.keys("auths") ?? [];
    this.#helpers = fields.stringMap("credHelpers") ?? {};
    this.#store = fields.string("credsStore");
  }

  /** Names of the registry's own helper and the default one, as in `docker-credential-<name>`. */
  helpers(host: string): readonly string[] {
    const own = Object.entries(this.#helpers).find(([key]) => normalizeKey(key) === host)?.[1];
    return [own, this.#store].filter((name): name is string => name !== undefined && name !== "");
  }

  /** The entry with the longest key that is the repository, a parent of it, or the registry. */
  find(host: string, repository: string): Credentials | undefined {
    for (let wanted = `${host}/${repository}`; wanted !== ""; wanted = wanted.slice(0, Math.max(0, wanted.lastIndexOf("/")))) {
      const exact = this.#keys.filter((key) => normalizeKey(key) === wanted).sort((a, b) => Number(b === wanted) - Number(a === wanted));
      for (const key of exact) {
        const found = this.#read(key);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  #read(key: string): Credentials | undefined {
    const entry = this.#auths?.object(key);
    if (entry === undefined) return undefined;
    const coded = entry.string("auth") ?? "";
    const text = Buffer.from(coded, "base64").toString();
    const colon = text.indexOf(":");
    if (coded !== "" && colon === -1) throw invalidFile(this.#path, `has a malformed "auth" for ${JSON.stringify(key)}`);
    const pick = (name: string, other = ""): string | undefined => entry.string(name) || other || undefined;
    const credentials = {
      username: pick("username", text.slice(0, Math.max(colon, 0))),
      // Docker on Windows padded passwords with NULs
      password: pick("password", text.slice(colon + 1).replace(/\0+$/, "")),
      identityToken: pick("identitytoken"),
      registryToken: pick("registrytoken"),
    };
    const { password, identityToken, registryToken } = credentials;
    return (password ?? identityToken ?? registryToken) ? credentials : undefined;
  }
}

/**
 * Returns a key as `registry` or `registry/repository`. Docker wrote URLs (`https://host/v1/`), of which only the host is kept; the
 * containers tools write paths without a scheme, where `v1` may be a repository.
 */
function normalizeKey(key: string): string {
  const bare = key.replace(/^https?:\/\//, "");
  const path = bare === key ? bare.replace(/\/+$/, "") : bare.replace(/\/.*$/, "");
  const slash = path.indexOf("/");
  const host = slash === -1 ? path : path.slice(0, slash);
  if (!DOCKER_HUB.has(host)) return path;
  const rest = slash === -1 ? "" : path.slice(slash);
  return /^(?:\/v[12])?$/.test(rest) ? "docker.io" : `docker.io${rest}`;
}
