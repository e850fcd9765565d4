/** The phases of writing a tree, in order: directories, files, then everything that no write must pass through. */
export const PHASES = ["directories", "files", "specials", "links", "attributes", "attributes-last"] as const;

export type Phase = (typeof PHASES)[number];

/** Phases that one worker runs in a single step. */
export const SINGLE_WORKER_PHASES: readonly Phase[] = ["links", "attributes-last"];
