/** Writes an image to an archive: an OCI image layout in a tar, or the form that `docker load` reads. Equal images give equal bytes. */
import { once, type EventEmitter } from "node:events";
import { lstatSync, mkdtempSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Writable } from "node:stream";
import type { Pack } from "tar-stream";
import { ShaleError } from "../errors.ts";
import { digestAlgorithm, digestHex } from "../image/digest.ts";
import { quote } from "../image/document.ts";
import { OCI_INDEX } from "../image/media-type.ts";
import { syncDirectory } from "../system/durable-write.ts";
import type { ExportBlob, ExportedImage, ExportSink } from "./export-sink.ts";
import { OCI_LAYOUT, REF_NAME } from "./layout-sink.ts";
import { OutputStream } from "./output-stream.ts";

export interface ArchiveSinkOptions {
  readonly form: "oci-archive" | "docker-archive";
  readonly tag: string | undefined;
  readonly signal: AbortSignal;
}

interface OutputFile {
  readonly handle: FileHandle;
  readonly temporary: string;
  readonly path: string;
}

export class ArchiveSink implements ExportSink {
  readonly staging: string;
  readonly #options: ArchiveSinkOptions;
  readonly #output: OutputFile | Writable;

  private constructor(options: ArchiveSinkOptions, output: OutputFile | Writable, staging: string) {
    this.#options = options;
    this.#output = output;
    this.staging = staging;
  }

  /** Writes to a file. An existing file is replaced when the archive is complete. @throws DESTINATION_UNUSABLE */
  static async toFile(path: string, options: ArchiveSinkOptions): Promise<ArchiveSink> {
    const real = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? realpathSync(path) : path;
    if (statSync(real, { throwIfNoEntry: false })?.isFile() === false) {
      throw new ShaleError("DESTINATION_UNUSABLE", `${quote(path)} is not a regular file; name another file, or - for a stream`, { path });
    }
    const staging = mkdtempSync(join(dirname(real), ".shale-"));
    try {
      const temporary = join(staging, "archive");
      return new ArchiveSink(options, { handle: await open(temporary, "wx", 0o644), temporary, path: real }, staging);
    } catch (error) {
      rmSync(staging, { recursive: true, force: true });
      throw error;
    }
  }

  /** Writes to a stream, which is not ended. `staging` is removed at the end. */
  static toStream(output: Writable, staging: string, options: ArchiveSinkOptions): ArchiveSink {
    return new ArchiveSink(options, output, staging);
  }

  async write(image: ExportedImage): Promise<void> {
    const { pack } = await import("tar-stream");
    const archive = pack();
    const { signal, form, tag } = this.#options;
    let outputFailure: unknown;
    const drained = drain(archive as AsyncIterable<Uint8Array>, this.#output, {
      signal,
      // the error of the pack only says that it was destroyed
      onFailure: (error) => (outputFailure = error),
    });
    // rejects if the output fails; never resolves
    const broken = drained.then(() => new Promise<never>(() => {}));
    broken.catch(() => {});
    const put: Put = (name, size, bytes) => addFile(archive, { name, size, bytes }, broken);
    try {
      await (form === "oci-archive" ? writeLayout(image, tag, put) : writeDocker(image, tag, put));
      archive.finalize();
      await drained;
    } catch (error) {
      archive.destroy();
      await drained.catch(() => {});
      throw outputFailure ?? error;
    }
  }

  async finish(): Promise<void> {
    if (!("handle" in this.#output)) return;
    const { handle, temporary, path } = this.#output;
    await handle.sync();
    renameSync(temporary, path);
    syncDirectory(dirname(path));
  }

  async discard(): Promise<void> {
    if ("handle" in this.#output) await this.#output.handle.close();
    rmSync(this.staging, { recursive: true, force: true });
  }
}

interface DrainOptions {
  readonly signal: AbortSignal;
  readonly onFailure: (error: unknown) => void;
}

async function drain(
  archive: AsyncIterable<Uint8Array>,
  output: OutputFile | Writable,
  { signal, onFailure }: DrainOptions,
): Promise<void> {
  using stream = "handle" in output ? undefined : new OutputStream(output, signal);
  const write = async (piece: Uint8Array): Promise<void> => {
    try {
      if ("handle" in output) await output.handle.writeFile(piece);
      else await stream?.write(piece);
    } catch (error) {
      onFailure(error);
      throw error;
    }
  };
  for await (const piece of archive) await write(piece);
  await stream?.flush();
}

type Put = (name: string, size: number, bytes: AsyncIterable<Uint8Array>) => Promise<void>;

async function writeLayout({ layers, config, manifest }: ExportedImage, tag: string | undefined, put: Put): Promise<void> {
  const { mediaType, digest, size } = manifest.descriptor;
  const entry = { mediaType, digest, size, ...(tag !== undefined && { annotations: { [REF_NAME]: tag } }) };
  await putText(put, "oci-layout", OCI_LAYOUT);
  await putText(put, "index.json", JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] }));
  const name = ({ descriptor }: ExportBlob): string => `blobs/${digestAlgorithm(descriptor.digest)}/${digestHex(descriptor.digest)}`;
  for (const blob of distinct([manifest, config, ...layers])) await put(name(blob), blob.descriptor.size, blob.bytes());
}

/** Layers are uncompressed here, and named by their diff IDs as docker save does. */
async function writeDocker({ layers, config }: ExportedImage, tag: string | undefined, put: Put): Promise<void> {
  const configName = `${digestHex(config.descriptor.digest)}.json`;
  const layerName = (layer: ExportedImage["layers"][number]): string => `${digestHex(layer.diffId)}.tar`;
  for (const layer of distinct(layers)) await put(layerName(layer), layer.descriptor.size, layer.bytes());
  await put(configName, config.descriptor.size, config.bytes());
  const list = [{ Config: configName, RepoTags: tag === undefined ? null : [tag], Layers: layers.map(layerName) }];
  await putText(put, "manifest.json", JSON.stringify(list));
}

function distinct<T extends ExportBlob>(blobs: readonly T[]): T[] {
  return [...new Map(blobs.map((blob) => [blob.descriptor.digest, blob])).values()];
}

function putText(put: Put, name: string, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes;
  };
  return put(name, bytes.length, pieces());
}

interface FileToAdd {
  readonly name: string;
  readonly size: number;
  readonly bytes: AsyncIterable<Uint8Array>;
}

async function addFile(archive: Pack, { name, size, bytes }: FileToAdd, broken: Promise<never>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  promise.catch(() => {});
  const header = { name, size, mode: 0o644, mtime: new Date(0), type: "file" } as const;
  const entry = archive.entry(header, (error) => (error ? reject(error) : resolve(undefined)));
  for await (const piece of bytes) {
    if (piece.length > 0 && !entry.write(piece)) await Promise.race([once(entry as unknown as EventEmitter, "drain"), promise, broken]);
  }
  entry.end(undefined);
  await Promise.race([promise, broken]);
}
