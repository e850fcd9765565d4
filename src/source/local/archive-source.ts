/** Reads images from an archive: an OCI image layout in a tar, or either format that `docker save` writes. */
import { ShaleError } from "../../errors.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { BlobDigest } from "../../image/digest.ts";
import { formatReference, type ArchiveReference, type Reference } from "../../image/reference.ts";
import { openArchiveFile, type ArchiveOptions } from "./archive-file.ts";
import { canonicalName, DOCKER_MANIFEST_FILE, readDockerImage, type DockerImage } from "./docker-archive.ts";
import { blobMissing, readBlobFile, readLayoutBlob, readLayoutManifest, resolveInLayout, TAG } from "./read-layout.ts";
import type { BlobOptions, ManifestDocument, Source, SourceOptions } from "../source.ts";
import { TarFiles } from "./tar-files.ts";

/** containerd's annotation with the whole image name; `ref.name` is only the tag. */
const IMAGE_NAME = "io.containerd.image.name";

interface Resolved {
  readonly document: ManifestDocument;
  /** Undefined if the archive describes the image as an image layout. */
  readonly docker: DockerImage | undefined;
}

/** Opens the archive once and keeps it open until `close`, so a replaced file is not noticed. */
export class ArchiveSource implements Source {
  readonly #reference: ArchiveReference;
  readonly #options: ArchiveOptions;
  #files: Promise<TarFiles> | undefined;
  #resolved: Promise<Resolved> | undefined;

  constructor(reference: ArchiveReference, options: ArchiveOptions) {
    this.#reference = reference;
    this.#options = options;
  }

  async resolve(_reference: Reference, { signal }: SourceOptions = {}): Promise<ManifestDocument> {
    return (await this.#resolve(signal)).document;
  }

  async resolveDigest(reference: Reference, options: SourceOptions = {}): Promise<BlobDigest> {
    return (await this.resolve(reference, options)).descriptor.digest;
  }

  async readManifest(_reference: Reference, descriptor: Descriptor, { signal }: SourceOptions = {}): Promise<ManifestDocument> {
    return readLayoutManifest(await this.#open(signal), descriptor);
  }

  async *readBlob(_reference: Reference, descriptor: Descriptor, options: BlobOptions = {}): AsyncGenerator<Uint8Array> {
    const { signal } = options;
    const files = await this.#open(signal);
    const { docker } = await this.#resolve(signal);
    if (!docker) return yield* readLayoutBlob(files, descriptor, options);
    const location = docker.blobs.get(descriptor.digest);
    if (!location) throw blobMissing(descriptor.digest);
    yield* readBlobFile(files.openAt(location), descriptor, options);
  }

  /** The canonical name of the image in the archive; undefined if the archive does not name it. */
  async imageName(signal?: AbortSignal): Promise<string | undefined> {
    const { document, docker } = await this.#resolve(signal);
    if (docker) return docker.name === undefined ? undefined : canonicalName(docker.name);
    const names = document.descriptor.annotations;
    const name = names?.[IMAGE_NAME] ?? names?.[TAG];
    return name?.includes("/") ? canonicalName(name) : undefined;
  }

  async close(): Promise<void> {
    const files = await this.#files?.catch(() => undefined);
    await files?.close();
  }

  #open(signal: AbortSignal | undefined): Promise<TarFiles> {
    const { file } = this.#reference;
    return (this.#files ??= openArchiveFile(file, { ...this.#options, signal }).then((tar) => TarFiles.open(file, tar, signal)));
  }

  #resolve(signal: AbortSignal | undefined): Promise<Resolved> {
    return (this.#resolved ??= this.#open(signal).then((files) => this.#choose(files, signal)));
  }

  /** Prefers the image layout in a Docker archive since version 25, because it has the original manifest; falls back to manifest.json. */
  async #choose(files: TarFiles, signal: AbortSignal | undefined): Promise<Resolved> {
    const { transport, tag, digest } = this.#reference;
    const reference = formatReference(this.#reference);
    const isDocker = transport === "docker-archive";
    const other = isDocker && files.has(DOCKER_MANIFEST_FILE);
    if (!isDocker || files.has("oci-layout")) {
      try {
        const isNamed = isDocker ? (descriptor: Descriptor): boolean => hasName(descriptor, tag ?? "") : undefined;
        return { document: await resolveInLayout(files, { reference, tag, digest, isNamed }), docker: undefined };
      } catch (error) {
        if (!other || !ShaleError.is(error, "IMAGE_NOT_FOUND")) throw error;
      }
    }
    const docker = await readDockerImage(files, { reference, tag, signal });
    const actual = docker.document.descriptor.digest;
    if (digest === undefined || digest === actual) return { document: docker.document, docker };
    throw new ShaleError(
      "IMAGE_NOT_FOUND",
      `the archive has the image ${actual}, not ${digest}; leave out the digest, or name another archive`,
      { reference },
    );
  }
}

function hasName({ annotations }: Descriptor, tag: string): boolean {
  const wanted = canonicalName(tag);
  const names = [annotations?.[IMAGE_NAME], annotations?.[TAG]].filter((name) => name !== undefined);
  return names.some((name) => name === tag || (name.includes("/") && wanted !== undefined && canonicalName(name) === wanted));
}
