/** A registry with one image of known bytes, and a source for it. */
import { randomBytes } from "node:crypto";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { parseReference, type Reference } from "../../src/image/reference.ts";
import { RegistrySource, type RegistrySourceOptions } from "../../src/source/registry/registry-source.ts";
import type { BlobOptions } from "../../src/source/source.ts";
import {
  buildImage,
  layerFromTar,
  startRegistry,
  type RegistryOptions,
  type TestBlob,
  type TestImage,
  type TestRegistry,
} from "../../src/testing/index.ts";

export const BLOB_SIZE = 300_000;
export const QUICK: { readonly tries: number; readonly firstDelayMs: number; readonly maxDelayMs: number } = {
  tries: 3,
  firstDelayMs: 1,
  maxDelayMs: 1500,
};

export class Harness {
  readonly registry: TestRegistry;
  readonly source: RegistrySource;
  readonly reference: Reference;
  readonly image: TestImage;
  /** The layer of the image: 300,000 random bytes. */
  readonly blob: TestBlob;
  readonly bytes: Buffer;

  constructor(registry: TestRegistry, options: RegistrySourceOptions) {
    this.registry = registry;
    this.bytes = randomBytes(BLOB_SIZE);
    const layer = layerFromTar(this.bytes, { compression: "none" });
    this.blob = layer;
    this.image = buildImage({ layers: [layer] });
    this.reference = parseReference(registry.push("team/app", "v1", this.image));
    this.source = new RegistrySource({
      plainHttp: true,
      retry: QUICK,
      hostDirectories: [],
      ...options,
      credentials: options.credentials ?? "anonymous",
    });
  }

  get descriptor(): Descriptor {
    return { mediaType: this.blob.mediaType, digest: this.blob.digest, size: this.blob.size };
  }

  /** First bytes of the requests for the blob, in order; -1 without a Range. */
  get ranges(): readonly number[] {
    return this.registry
      .requestsTo(/^GET .*\/blobs\//)
      .map(({ headers }) => Number(/^bytes=([0-9]+)-/.exec(String(headers["range"]))?.[1] ?? -1));
  }

  read(options: BlobOptions = {}, descriptor: Descriptor = this.descriptor): Promise<Buffer> {
    return collect(this.source.readBlob(this.reference, descriptor, options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.close();
    await this.registry.close();
  }
}

export async function startHarness(registry: RegistryOptions = {}, source: RegistrySourceOptions = {}): Promise<Harness> {
  return new Harness(await startRegistry(registry), source);
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function descriptorFor(blob: TestBlob): Descriptor {
  return { mediaType: blob.mediaType, digest: blob.digest, size: blob.size };
}
