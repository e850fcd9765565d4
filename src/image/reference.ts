/** Parses references, which name an image and its source. Grammar: https://github.com/distribution/reference */
import { resolve } from "node:path";
import { ShaleError } from "../errors.ts";
import { parseBlobDigest, type BlobDigest } from "./digest.ts";
import { quote } from "./document.ts";

/** An image in a registry. `registry` is the canonical host (`docker.io`, `localhost:5000`, `[::1]:5000`). */
export interface RegistryReference {
  readonly transport: "docker";
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: BlobDigest;
}

/** An image in an OCI image layout directory on this machine. */
export interface LayoutReference {
  readonly transport: "oci";
  /** Absolute. */
  readonly directory: string;
  readonly tag?: string;
  readonly digest?: BlobDigest;
}

/** An image in an archive on this machine: an image layout in a tar, or an archive of `docker save`. */
export interface ArchiveReference {
  readonly transport: "oci-archive" | "docker-archive";
  /** Absolute, or `-`: standard input. */
  readonly file: string;
  /** In a Docker archive the image's name, as the user wrote it. */
  readonly tag?: string;
  readonly digest?: BlobDigest;
}

export type Reference = RegistryReference | LayoutReference | ArchiveReference;

export interface ReferenceOptions {
  /** The base of relative paths; default: the working directory. */
  readonly cwd?: string;
}

const MAX_TEXT = 4096;
const MAX_NAME = 255;

const TRANSPORT: RegExp =
  /^(?:[a-z][a-z0-9+.-]*(?=:\/\/)|(?:oci|oci-archive|docker-archive|docker-daemon|containers-storage|dir|ostree|sif|tarball)(?=:))/;
const HOST: RegExp = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/;
const COMPONENT: RegExp = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG: RegExp = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const LAYOUT_TAG: RegExp = /^[A-Za-z0-9_][A-Za-z0-9_.:@/+-]{0,254}$/;
const PINNED: RegExp = /^([^:]+)@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const IMAGE_ID: RegExp = /^[0-9a-f]{64}$/;

/** Current and former names of Docker Hub. */
const DOCKER_HUB: ReadonlySet<string> = new Set(["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

/**
 * Parses a reference in the form of the container tools: `NAME[:TAG][@DIGEST]` for a registry, optionally after `docker://`,
 * `oci:DIR[:TAG]` or `oci:DIR@DIGEST` for an image layout, likewise `oci-archive:FILE`, and `docker-archive:FILE[:NAME]`; the file `-`
 * is standard input. Without a tag and digest a registry's tag is `latest`; a digest takes precedence over a tag.
 *
 * @throws REFERENCE_INVALID
 */
export function parseReference(text: string, options: ReferenceOptions = {}): Reference {
  if (text.length > MAX_TEXT) throw invalid(text, `is longer than ${MAX_TEXT} characters`);
  const transport = TRANSPORT.exec(text)?.[0];
  switch (transport) {
    case undefined:
      return parseRegistryReference(text, text);
    case "docker":
      return parseRegistryReference(text.slice("docker://".length), text);
    case "oci":
    case "oci-archive":
    case "docker-archive":
      return parseLocalReference(transport, text, options.cwd);
    case "http":
    case "https":
      throw invalid(text, "is a URL; leave out the scheme");
    default:
      throw invalid(
        text,
        `uses the transport "${transport}"; supported are registries (NAME[:TAG][@DIGEST]), oci:DIR[:TAG], oci-archive:FILE[:TAG] and docker-archive:FILE[:NAME]`,
      );
  }
}

/** The canonical text, which parses to the same reference: `docker.io/library/alpine:3.20`, `oci:/images/base:1.0`. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  const location = reference.transport === "docker" ? `${reference.registry}/${reference.repository}` : localLocation(reference);
  return `${location}${tag}${digest}`;
}

function localLocation(reference: LayoutReference | ArchiveReference): string {
  return `${reference.transport}:${reference.transport === "oci" ? reference.directory : reference.file}`;
}

function parseRegistryReference(body: string, text: string): RegistryReference {
  const at = body.indexOf("@");
  const digest = at === -1 ? undefined : parseDigest(body.slice(at + 1), text);
  const named = at === -1 ? body : body.slice(0, at);
  const colon = named.lastIndexOf(":");
  const tagged = colon > named.lastIndexOf("/");
  const tag = tagged ? named.slice(colon + 1) : digest === undefined ? "latest" : undefined;
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, "has a malformed tag; a tag is 1 to 128 of A-Z a-z 0-9 _ . -");
  const { registry, repository } = parseName(tagged ? named.slice(0, colon) : named, text);
  return { transport: "docker", registry, repository, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

function parseDigest(digest: string, text: string): BlobDigest {
  try {
    return parseBlobDigest(digest);
  } catch (error) {
    throw invalid(text, "has a malformed digest; expected sha256: and 64 lower-case hex digits", error);
  }
}

function parseName(name: string, text: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  const hasHost = /[.:A-Z]/.test(first) || first === "localhost";
  const registry = hasHost ? parseHost(first, text) : "docker.io";
  const path = hasHost ? name.slice(slash + 1) : name;
  if (!path.split("/").every((component) => COMPONENT.test(component))) {
    throw invalid(text, "has a malformed name; a name is lower-case letters and digits, with . _ - between them and / between its parts");
  }
  if (IMAGE_ID.test(name)) throw invalid(text, "is an image id; name the repository instead, as in NAME@sha256:HEX");
  const repository = registry === "docker.io" && !path.includes("/") ? `library/${path}` : path;
  if (registry.length + 1 + repository.length > MAX_NAME) throw invalid(text, `has a name longer than ${MAX_NAME} characters`);
  return { registry, repository };
}

function parseHost(text: string, reference: string): string {
  const lower = text.toLowerCase();
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::([0-9]{1,5}))?$/.exec(lower);
  const host = match?.[1] ?? "";
  const port = match?.[2];
  const wellFormed = host.startsWith("[")
    ? process.getBuiltinModule("node:net").isIPv6(host.slice(1, -1))
    : HOST.test(host) && !/(?:^|\.)-|-(?:\.|$)/.test(host) && isSameInUrl(host);
  if (!wellFormed) throw invalid(reference, `has a malformed registry host ${quote(text)}; expected a host name, optionally with a port`);
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535))
    throw invalid(reference, `has the port ${port}; expected 1 to 65535`);
  if (DOCKER_HUB.has(lower)) return "docker.io";
  // keeps upper case in a host that nothing else tells apart from a repository
  return /[.:]/.test(lower) || lower === "localhost" ? lower : text;
}

/** False for names that a URL parser changes to an address (`127.1`, `0x7f.1`) or refuses (`1.2.3.4.5`, `xn--`): the request would go to another host. */
function isSameInUrl(host: string): boolean {
  return URL.canParse(`https://${host}`) && new URL(`https://${host}`).hostname === host;
}

/** The first colon ends the path, as in containers/image, so that the tag of a layout may be a whole reference. */
function parseLocalReference(
  transport: LayoutReference["transport"] | ArchiveReference["transport"],
  text: string,
  cwd = process.cwd(),
): LayoutReference | ArchiveReference {
  const body = text.slice(transport.length + 1);
  const pinned = PINNED.exec(body);
  const colon = body.indexOf(":");
  const path = pinned?.[1] ?? (colon === -1 ? body : body.slice(0, colon));
  const form = FORMS[transport];
  if (path === "" || path.includes("\0")) throw invalid(text, `has no ${transport === "oci" ? "directory" : "file"}; expected ${form}`);
  if (!pinned && /@sha(?:256|512)$/.test(path))
    throw invalid(text, "has a malformed digest; expected sha256: and 64 lower-case hex digits");
  const tag = pinned || colon === -1 ? undefined : body.slice(colon + 1);
  if (tag !== undefined && !LAYOUT_TAG.test(tag)) throw invalid(text, `has a malformed tag; expected ${form}`);
  const named = { ...(tag !== undefined && { tag }), ...(pinned?.[2] !== undefined && { digest: parseDigest(pinned[2], text) }) };
  if (transport === "oci") return { transport, directory: resolve(cwd, path), ...named };
  return { transport, file: path === "-" ? path : resolve(cwd, path), ...named };
}

const FORMS: Readonly<Record<LayoutReference["transport"] | ArchiveReference["transport"], string>> = {
  oci: "oci:DIR[:TAG]",
  "oci-archive": "oci-archive:FILE[:TAG]",
  "docker-archive": "docker-archive:FILE[:NAME]",
};

function invalid(text: string, problem: string, cause?: unknown): ShaleError<"REFERENCE_INVALID"> {
  const message = `reference ${quote(text)} ${problem}`;
  return new ShaleError("REFERENCE_INVALID", message, { reference: text.slice(0, MAX_TEXT) }, cause === undefined ? undefined : { cause });
}
