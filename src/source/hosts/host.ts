/** A host that serves the images of a registry: the registry itself, or a mirror. */
import type { RegistryReference } from "../../image/reference.ts";
import type { TlsSettings } from "../http/tls-settings.ts";

export interface Host {
  /** The name for credentials: the registry's name in references, or the mirror's host. */
  readonly name: string;
  /** The URL of the API, without a trailing slash: `https://registry-1.docker.io/v2`. */
  readonly base: URL;
  /** It is trusted to resolve tags. */
  readonly resolves: boolean;
  /** It is asked for content by digest. */
  readonly pulls: boolean;
  /** Headers that are sent only to this origin. */
  readonly headers: Readonly<Record<string, string>>;
  /** The TLS settings for any URL that this host leads to. */
  readonly tls: (url: URL) => TlsSettings | undefined;
  /** Not the registry itself: requests name the registry, and one failure is enough to ask the next host. */
  readonly mirror: boolean;
  /** Milliseconds. */
  readonly connectTimeout?: number | undefined;
}

/** `path` is relative to the repository: `manifests/latest`. */
export function apiUrl(host: Host, { registry, repository }: RegistryReference, path: string): URL {
  const url = new URL(host.base);
  url.pathname = `${url.pathname.replace(/\/$/, "")}/${repository}/${path}`;
  if (host.mirror) url.searchParams.set("ns", registry);
  return url;
}

/** The host name and port that serve a registry. */
export function registryAddress(registry: string): string {
  return registry === "docker.io" ? "registry-1.docker.io" : registry;
}
