/**
 * For tests of programs that use shale: builds images in memory, and serves them from a registry in this process.
 *
 *     const layer = await buildLayer([{ path: "etc/motd", content: "hello\n" }]);
 *     await using registry = await startRegistry();
 *     const reference = registry.push("demo", "latest", buildImage({ layers: [layer] }));
 */
export { bytesBlob, fileBlob } from "./blob.ts";
export type { BlobContent, TestBlob } from "./blob.ts";
export { buildLayer, layerFromTar } from "./layer.ts";
export type { LayerOptions, TestEntry, TestLayer } from "./layer.ts";
export { blobsOf, buildImage, buildImageIndex, imageFor, jsonBlob } from "./image.ts";
export type { ImageOptions, TestImage, TestImageIndex } from "./image.ts";
export { startRegistry } from "./registry.ts";
export type { RegistryOptions, TestRegistry } from "./registry.ts";
export type { RegistryAuth } from "./auth.ts";
export type { Fault, FaultAction, RecordedRequest } from "./faults.ts";
export { writeLayout } from "./layout.ts";
