import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openStore, Registry } from "../../src/index.ts";
import { buildImage, buildLayer, startRegistry, type TestLayer, type TestRegistry } from "../../src/testing/index.ts";
import { makeAuthority } from "../support/certificates.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const authority = await makeAuthority("foreign layers");
const certificate = await authority.issue("IP:127.0.0.1");
const LAYER: TestLayer = await buildLayer([{ path: "license", content: "not to be distributed\n".repeat(500) }], { compression: "gzip" });

/** An image whose only layer is elsewhere at the registry, as the manifest says. */
function pushForeign(registry: TestRegistry): string {
  registry.pushBlob("vendor/files", LAYER);
  const urls = [`${registry.origin}/v2/vendor/files/blobs/${LAYER.digest}`];
  const { digest, size } = LAYER;
  const layers = [{ mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", digest, size, urls }];
  const reference = registry.push("team/app", "v1", buildImage({ layers: [LAYER], manifest: { layers } }));
  const match = new RegExp(`/team/app/blobs/${digest}`);
  registry.misbehave({ match, times: 100, action: { kind: "respond", status: 404 } });
  return reference;
}

test("`pull()` takes a foreign layer only where that is allowed, and only if its bytes are what the manifest names", async () => {
  await using directory = await temporaryDirectory();
  await using registry = await startRegistry({ tls: certificate });
  const reference = pushForeign(registry);
  await using store = await openStore(join(directory.path, "store"));
  const options = { store, ca: authority.cert, credentials: "anonymous", hostDirectories: [] } as const;
  await using careful = new Registry(options);
  await assert.rejects(careful.pull(reference), { code: "BLOB_NOT_FOUND" });
  assert.equal(registry.requestsTo(/vendor/).length, 0);
  await using client = new Registry({ ...options, allowForeignLayers: true });
  registry.misbehave({ match: /vendor/, times: 2, action: { kind: "flip", at: 40 } });
  await assert.rejects(client.pull(reference), { code: "DIGEST_MISMATCH" });
  assert.deepEqual(existsSync(join(store.path, "layers", LAYER.diffId.replace(":", "-"))), false);
  await using image = await client.pull(reference);
  assert.equal(readFileSync(join(image.layers[0]!, "license"), "latin1").length, 11_000);
  assert.equal(image.stats.downloadedBytes, LAYER.size);
});
