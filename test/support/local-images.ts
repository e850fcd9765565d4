/** A store filled from images made in memory, without a registry. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openStore, Registry, type PullOptions, type Store, type StoreOptions } from "../../src/index.ts";
import { buildImage, writeLayout, type TestLayer } from "../../src/testing/index.ts";

export interface LocalStore extends AsyncDisposable {
  readonly store: Store;
  readonly path: string;
  /** Makes an image of these layers and pulls it; its trees, bottom to top. */
  pull(tag: string, layers: readonly TestLayer[], options?: PullOptions): Promise<readonly string[]>;
  /** Pulls again what was pulled as `tag`. */
  pullAgain(tag: string, options?: PullOptions): Promise<{ readonly layers: readonly string[]; readonly cached: boolean }>;
  /** The reference of an image. */
  reference(tag: string): string;
}

/** Everything lies below `directory`, which is the caller's to remove. */
export async function localStore(directory: string, options: StoreOptions = {}): Promise<LocalStore> {
  const path = join(directory, "store");
  const store = await openStore(path, options);
  const registry = new Registry({ store });
  const reference = (tag: string): string => `oci:${join(directory, "layouts", tag)}:${tag}`;
  const pullAgain: LocalStore["pullAgain"] = async (tag, pullOptions) => {
    await using image = await registry.pull(reference(tag), pullOptions);
    return { layers: image.layers, cached: image.cached };
  };
  return {
    store,
    path,
    reference,
    pullAgain,
    pull: async (tag, layers, pullOptions) => {
      mkdirSync(join(directory, "layouts"), { recursive: true });
      await writeLayout(join(directory, "layouts", tag), { [tag]: buildImage({ layers }) });
      return (await pullAgain(tag, pullOptions)).layers;
    },
    [Symbol.asyncDispose]: async () => {
      await registry.close();
      await store.close();
    },
  };
}
