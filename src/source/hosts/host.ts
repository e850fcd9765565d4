/** Where the images of one registry can be had: mirrors in the user's order, and the registry itself. */
import type { RegistryReference } from "../../image/reference.ts";
import type { TlsSettings } from "../http/tls-settings.ts";

export interface Host {
  /** As credentials know it: the registry's name in references, or the mirror's host. */
  readonly name: string;
  /** Of the API, without a slash at the end: `https://registry-1.docker.io/v2`. */
  readonly base: URL;
  /** Its word on what a tag means is taken. */
  readonly resolves: boolean;
  /** It is asked for what has a digest. */
  readonly pulls: boolean;
  /** Sent to this origin only. */
  readonly headers: Readonly<Record<string, string>>;
  /** For any URL that this host leads to. */
  readonly tls: (url: URL) => TlsSettings | undefined;
  /** Not the registry itself: told which registry is meant, and given up at its first failure if there is another host. */
  readonly mirror: boolean;
  /** Milliseconds. */
  readonly connectTimeout?: number | undefined;
}

/** `path` is below the repository: `manifests/latest`. */
export function apiUrl(host: Host, { registry, repository }: RegistryReference, path: string): URL {
  const url = new URL(host.base);
  url.pathname = `${url.pathname.replace(/\/$/, "")}/${repository}/${path}`;
  if (host.mirror) url.searchParams.set("ns", registry);
  return url;
}

/** The machine behind a registry's name. */
export function registryAddress(registry: string): string {
  return registry === "docker.io" ? "registry-1.docker.io" : registry;
}
