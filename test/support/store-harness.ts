/** A store in a temporary directory, a registry in this process, and a client between them. */
import { lstatSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { openStore, Registry } from "../../src/index.ts";
import type { Image, ProgressEvent, PullOptions, RegistryOptions, Store, StoreOptions } from "../../src/index.ts";
import { buildImage, buildLayer, startRegistry } from "../../src/testing/index.ts";
import type { ImageOptions, LayerOptions, TestEntry, TestImage, TestLayer, TestRegistry } from "../../src/testing/index.ts";
import { temporaryDirectory, type TemporaryDirectory } from "./temporary-directory.ts";

export interface HarnessOptions {
  readonly store?: StoreOptions;
  readonly client?: Partial<RegistryOptions>;
}

export class StoreHarness {
  readonly registry: TestRegistry;
  readonly path: string;
  readonly warnings: string[] = [];
  readonly #options: HarnessOptions;
  readonly #directory: TemporaryDirectory;
  #store: Promise<Store> | undefined;
  #client: Registry | undefined;

  constructor(registry: TestRegistry, directory: TemporaryDirectory, options: HarnessOptions) {
    this.registry = registry;
    this.path = join(realpathSync(directory.path), "store");
    this.#directory = directory;
    this.#options = options;
  }

  async store(): Promise<Store> {
    const onWarning = (code: string): number => this.warnings.push(code);
    return (this.#store ??= openStore(this.path, { profile: "overlay", onWarning, ...this.#options.store }));
  }

  async client(): Promise<Registry> {
    const { client = {} } = this.#options;
    const quiet = { plainHttp: true, hostDirectories: [], retry: { firstDelayMs: 5 } } as const;
    const credentials = client.credentials ?? "anonymous";
    const store = await this.store();
    return (this.#client ??= new Registry({ store, ...quiet, ...client, credentials }));
  }

  /** Pulls and closes the image at once, as a program does that only wants the directories. */
  async pull(reference: string, options: PullOptions = {}): Promise<Image> {
    const image = await (await this.client()).pull(reference, options);
    await image.close();
    return image;
  }

  /** The events of a pull, and what came of it. */
  async watch(reference: string, options: PullOptions = {}): Promise<{ events: ProgressEvent[]; image?: Image; error?: unknown }> {
    const events: ProgressEvent[] = [];
    const result = this.pull(reference, { ...options, onProgress: (event) => events.push(event) });
    return result.then(
      (image) => ({ events, image }),
      (error: unknown) => ({ events, error }),
    );
  }

  /** Ends the handles; the next use opens the store anew, as another process would. */
  async reopen(): Promise<void> {
    await this.#client?.close();
    // one that did not open is nothing to close
    await (await this.#store?.catch(() => undefined))?.close();
    this.#client = this.#store = undefined;
  }

  push(name: string, layers: readonly TestLayer[], options: Partial<ImageOptions> = {}): { reference: string; image: TestImage } {
    const image = buildImage({ ...options, layers });
    return { image, reference: this.registry.push(name, "latest", image) };
  }

  async pushEntries(name: string, ...layers: readonly (readonly TestEntry[])[]): Promise<{ reference: string; image: TestImage }> {
    return this.push(name, await Promise.all(layers.map((entries) => buildLayer(entries))));
  }

  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /** Every name in the store outside locks/, and outside the index, which is written when there is time; with the inode behind it, sorted. */
  list(): string[] {
    return listFiles(this.path, ["locks", "db", "edges"]);
  }

  /**
   * Names below staging/ but for the directories of live handles of their workers, their locks, downloads that wait to be continued, and
   * what was read in this boot.
   */
  staged(): string[] {
    return listFiles(this.file("staging"))
      .map((line) => line.slice(0, line.lastIndexOf(" ")))
      .filter((name) => !/^(?:work-[0-9a-f]+(?:\/owner|\/chunks-\d+)?|downloads(?:\/.*)?|verified-[0-9a-f-]{36})$/.test(name));
  }

  blobRequests(): number {
    return this.registry.requestsTo(/^GET .*\/blobs\//).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reopen();
    await this.registry.close();
    await this.#directory[Symbol.asyncDispose]();
  }
}

export async function startStore(options: HarnessOptions = {}): Promise<StoreHarness> {
  return new StoreHarness(await startRegistry(), await temporaryDirectory(), options);
}

/** Every name below a directory and its inode number, sorted. */
export function listFiles(root: string, except: readonly string[] = []): string[] {
  const found: string[] = [];
  const todo = [""];
  for (let prefix = todo.pop(); prefix !== undefined; prefix = todo.pop()) {
    for (const entry of readdirSync(Buffer.from(`${root}/${prefix}`, "latin1"), { withFileTypes: true, encoding: "buffer" })) {
      const name = prefix + entry.name.toString("latin1");
      if (except.includes(name)) continue;
      found.push(`${name} ${lstatSync(Buffer.from(`${root}/${name}`, "latin1")).ino}`);
      if (entry.isDirectory()) todo.push(`${name}/`);
    }
  }
  return found.sort();
}

/** One layer of these entries, uncompressed or as told. */
export function layer(entries: readonly TestEntry[], options?: LayerOptions): Promise<TestLayer> {
  return buildLayer(entries, options);
}
