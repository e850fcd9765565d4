/** The public API: everything a program may import from "shale". */
export { ShaleError } from "./errors.ts";
export type { ErrorCode, ErrorDetails } from "./errors.ts";
export { openStore } from "./pull/open-store.ts";
export type { ImageQuery, Store } from "./pull/open-store.ts";
export type { StoreOptions } from "./pull/store-core.ts";
export { Registry } from "./pull/registry.ts";
export type { PullOptions, RegistryOptions } from "./pull/registry.ts";
export type { PullPolicy } from "./pull/pull-image.ts";
export type { VerifyManifest } from "./pull/resolve-image.ts";
export type { Image, MaterializeImageOptions, PullStats } from "./pull/image.ts";
export type { LayerProgress, ProgressEvent, ProgressSink } from "./pull/progress.ts";
export type { LayerLimits } from "./ingest/layer-inflater.ts";
export type { Credentials, CredentialsProvider } from "./source/credentials.ts";
export type { Profile } from "./store/profile.ts";
export type { Descriptor } from "./image/descriptor.ts";
export type { HistoryEntry, ImageConfig } from "./image/config.ts";
export type { Platform } from "./image/platform.ts";
export type { BlobDigest, DiffId } from "./image/digest.ts";
