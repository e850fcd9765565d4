export { comparePaths, Flag } from "./entry.ts";
export type { SidecarEntry, SidecarFlags, SidecarXattr } from "./entry.ts";
export type { SidecarMode } from "./entry-columns.ts";
export { Sidecar } from "./sidecar.ts";
export type { EntryRange, OpenSidecarOptions } from "./sidecar.ts";
export { SidecarError } from "./sidecar-error.ts";
export { encodeSidecar, SidecarWriter } from "./sidecar-writer.ts";
export type { SidecarTail, SidecarWriterOptions } from "./sidecar-writer.ts";
