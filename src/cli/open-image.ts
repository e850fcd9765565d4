/** Opens an image of the store, without network. */
import { ShaleError } from "../errors.ts";
import type { Image, Profile, Store } from "../index.ts";
import type { Context, Line } from "./command.ts";
import { text } from "./values.ts";

export interface Wanted {
  readonly line: Pick<Line, "values">;
  readonly context: Context;
  readonly materialize?: "eager" | "lazy";
}

/** The caller closes the image. @throws NOT_CACHED with the next step, REFERENCE_INVALID, PLATFORM_INVALID */
export async function openImage(store: Store, reference: string, { line, context, materialize = "lazy" }: Wanted): Promise<Image> {
  const platform = text(line.values, "platform");
  const { signal } = context;
  const image = await store.image(reference, {
    platform,
    profile: text(line.values, "profile") as Profile | undefined,
    materialize,
    signal,
  });
  return image ?? missing(store, reference, platform);
}

/** @throws NOT_CACHED always */
export async function missing(store: Store, reference: string, platform: string | undefined): Promise<never> {
  const known = (await store.images()).flatMap(({ references }) => references);
  const others = known.filter((one) => isSame(one.reference, reference)).map((one) => one.platform);
  const wanted = platform === undefined ? "" : ` for ${platform}`;
  const next =
    others.length > 0 ? `it exists for ${[...new Set(others)].join(", ")}: select one with --platform` : await nearest(reference, known);
  throw new ShaleError("NOT_CACHED", `${JSON.stringify(reference)} is not completely in the store${wanted}; ${next}`, { reference });
}

async function nearest(reference: string, known: readonly { readonly reference: string }[]): Promise<string> {
  const { suggest } = await import("./suggest.ts");
  const near = suggest(reference, [
    ...new Set(known.flatMap(({ reference: full }) => [full, full.replace(/^docker\.io\/(?:library\/)?/, "")])),
  ]);
  return near === undefined
    ? "pull it with shale pull; shale images lists the images in the store"
    : `did you mean ${near}? shale images lists the images in the store`;
}

/** Compares without parsing references: `alpine` is `docker.io/library/alpine:latest`. */
function isSame(canonical: string, typed: string): boolean {
  return [typed, `${typed}:latest`].some(
    (text) => canonical === text || canonical === `docker.io/${text}` || canonical === `docker.io/library/${text}`,
  );
}
