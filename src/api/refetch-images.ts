/** Fetching again what a repair has withdrawn. */
import { ShaleError } from "../errors.ts";
import { checkOptions, isSignal } from "./check-options.ts";
import type { SignalOptions } from "./image.ts";
import type { PullOptions, Registry } from "./registry.ts";

export interface RefetchedImage {
  readonly reference: string;
  readonly platform: string;
  /** Layers that were fetched, and layers that the image has; both 0 if it failed. */
  readonly fetchedLayers: number;
  readonly layers: number;
  /** Why the image could not be fetched. */
  readonly error?: ShaleError;
}

/**
 * Completes the images of the registry's store: pulls each reference whose image lacks a layer or a document, and fetches only what is
 * missing. Use it after `fsck` with `repair`, which withdraws layers that cannot be repaired from the store alone. Trees are not made.
 *
 * Yields one result per incomplete image, sorted by reference, as soon as it is fetched; complete images give no result. An image that
 * cannot be fetched is reported with its error, and the next one is tried. Break out of the loop to stop.
 * @throws STORE_CLOSED, and the signal's reason
 */
export async function* refetchImages(registry: Registry, options: SignalOptions = {}): AsyncGenerator<RefetchedImage, void, undefined> {
  checkOptions("refetchImages", options, { signal: isSignal });
  const { store } = registry;
  const { signal } = options;
  const names = (await store.images()).flatMap(({ references }) => references);
  for (const { reference, platform } of names.toSorted((a, b) => (a.reference < b.reference ? -1 : 1))) {
    signal?.throwIfAborted();
    const query = { platform, materialize: "lazy", signal } as const;
    const complete = await store.image(reference, query);
    await complete?.close();
    if (complete) continue;
    yield { reference, platform, ...(await refetch(registry, reference, query)) };
  }
}

async function refetch(
  registry: Registry,
  reference: string,
  options: PullOptions,
): Promise<Omit<RefetchedImage, "reference" | "platform">> {
  try {
    await using image = await registry.pull(reference, options);
    return { fetchedLayers: image.stats.ingestedLayers, layers: image.layers.length };
  } catch (error) {
    if (!ShaleError.is(error)) throw error;
    return { fetchedLayers: 0, layers: 0, error };
  }
}
