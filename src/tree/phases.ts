/** In what order a tree is written: directories, so that all else has a place; names of files; the rest, which nothing must be written through. */
export const PHASES = ["directories", "files", "specials", "links", "attributes", "attributes-last"] as const;

export type Phase = (typeof PHASES)[number];

/** Not to be shared by workers: all entries in one step. */
export const FOR_ONE: readonly Phase[] = ["links", "attributes-last"];
