/** Layers with `urls`, which the image's maker chose. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { Descriptor } from "../../../src/image/descriptor.ts";
import type { RegistrySourceOptions } from "../../../src/source/registry/registry-source.ts";
import type { SourceEvent } from "../../../src/source/source.ts";
import { bytesBlob, startRegistry, type RegistryOptions, type TestRegistry } from "../../../src/testing/index.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { collect, startHarness, type Harness } from "../registry-harness.ts";

const authority = await makeAuthority("foreign layers");
const certificate = await authority.issue("IP:127.0.0.1", "IP:127.0.0.2", "IP:127.0.0.3");

const CREDENTIALS = { username: "geologist", password: "layers" };
const OUTSIDE: readonly string[] = ["127.0.0.2", "127.0.0.3"];
const TYPE = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const BYTES: Buffer = Buffer.from("a layer that may not be distributed ".repeat(3000));
const BLOB = bytesBlob(BYTES, TYPE);

class Place implements AsyncDisposable {
  readonly harness: Harness;
  /** A public server with the blob at `files/VERSION/blobs/DIGEST`. */
  readonly elsewhere: TestRegistry;
  readonly events: SourceEvent[] = [];

  private constructor(harness: Harness, elsewhere: TestRegistry) {
    this.harness = harness;
    this.elsewhere = elsewhere;
  }

  static async start(
    source: RegistrySourceOptions = {},
    registry: RegistryOptions = { auth: { kind: "basic", ...CREDENTIALS } },
  ): Promise<Place> {
    const elsewhere = await startRegistry({ tls: certificate, address: "127.0.0.2" });
    elsewhere.pushBlob("files", BLOB);
    const http = { isPrivate: (address: string): boolean => !OUTSIDE.includes(address) };
    const options = { allowForeignLayers: true, ca: authority.cert, http, credentials: CREDENTIALS, ...source };
    return new Place(await startHarness(registry, options), elsewhere);
  }

  get url(): string {
    return `${this.elsewhere.origin}/v2/files/blobs/${BLOB.digest}`;
  }

  read(...urls: readonly string[]): Promise<Buffer> {
    const descriptor: Descriptor = { mediaType: TYPE, digest: BLOB.digest, size: BLOB.size, urls };
    const { source, reference } = this.harness;
    return collect(source.readBlob(reference, descriptor, { onEvent: (event) => this.events.push(event) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.harness[Symbol.asyncDispose]();
    await this.elsewhere.close();
  }
}

test("`readBlob()` does not follow the URLs of a layer by default, and mentions the option in the error", async () => {
  await using place = await Place.start({ allowForeignLayers: undefined });
  await assert.rejects(place.read(place.url), { code: "BLOB_NOT_FOUND" });
  assert.equal(place.elsewhere.requests.length, 0);
});

test("`readBlob()` with `allowForeignLayers` asks the registry first, then the URL without credentials", async () => {
  await using place = await Place.start();
  assert.ok((await place.read(place.url)).equals(BYTES));
  const [request, ...more] = place.elsewhere.requests;
  assert.deepEqual([request?.status, more], [200, []]);
  assert.deepEqual(Object.keys(request?.headers ?? {}).toSorted(), ["accept", "accept-encoding", "connection", "host", "user-agent"]);
  assert.deepEqual(place.events, [{ kind: "serving", host: place.elsewhere.host, mirror: true }]);
});

test("`readBlob()` requests no URL for a layer that the registry has", async () => {
  await using place = await Place.start();
  place.harness.registry.pushBlob("team/app", BLOB);
  assert.ok((await place.read(place.url)).equals(BYTES));
  assert.equal(place.elsewhere.requests.length, 0);
});

test("`readBlob()` resumes at the URL where the connection broke, and yields each byte once", async () => {
  await using place = await Place.start();
  place.elsewhere.misbehave({ match: /blobs/, action: { kind: "cut", after: 40_000 } });
  assert.ok((await place.read(place.url)).equals(BYTES));
  const sent = place.elsewhere.requests.map(({ status, headers, bytes }) => [status, headers["range"], bytes]);
  assert.deepEqual(sent, [
    [200, undefined, 40_000],
    [206, `bytes=40000-${BYTES.length - 1}`, BYTES.length - 40_000],
  ]);
  assert.equal(place.elsewhere.bytesSent, BYTES.length);
});

test("`readBlob()` requests the next URL when one fails, and throws the last one's error when all fail", async () => {
  await using place = await Place.start();
  place.elsewhere.misbehave({ match: /first/, times: 9, action: { kind: "respond", status: 503 } });
  assert.ok((await place.read(place.url.replace("files", "first"), place.url)).equals(BYTES));
  assert.equal(place.elsewhere.requestsTo(/first/).length, 1);
  await assert.rejects(place.read(place.url.replace("files", "second"), place.url.replace("files", "third")), { code: "BLOB_NOT_FOUND" });
});

test("`readBlob()` refuses a URL that redirects to plain http or to a private address", async () => {
  await using place = await Place.start();
  for (const location of ["http://127.0.0.3/x", "https://127.0.0.4/x", "https://169.254.169.254/latest/meta-data", "file:///etc/passwd"]) {
    place.elsewhere.misbehave({ match: /blobs/, action: { kind: "redirect", location } });
    await assert.rejects(place.read(place.url), (error: { code: string }) =>
      ["REGISTRY_ERROR", "REGISTRY_UNREACHABLE"].includes(error.code),
    );
  }
});

test("`readBlob()` requests no private address for a layer, even if the registry has one", async () => {
  await using place = await Place.start();
  const inside = createServer((_, response) => response.end(BYTES)).listen(0, "127.0.0.4");
  await once(inside, "listening");
  let asked = 0;
  inside.on("connection", () => asked++);
  const { port } = inside.address() as AddressInfo;
  const urls = [
    `https://127.0.0.4:${port}/x`,
    `http://127.0.0.4:${port}/x`,
    `https://localhost:${port}/x`,
    `https://[::ffff:127.0.0.4]:${port}/x`,
    `https://2130706436:${port}/x`,
    `https://user:password@${place.elsewhere.host}/v2/files/blobs/${BLOB.digest}`,
    "ftp://127.0.0.2/x",
    "no url at all",
  ];
  for (const url of urls) {
    await assert.rejects(
      place.read(url),
      (error: { code: string }) => ["BLOB_NOT_FOUND", "REGISTRY_UNREACHABLE"].includes(error.code),
      url,
    );
  }
  assert.equal(asked, 0);
  assert.equal(place.elsewhere.requests.length, 0);
  inside.close();
});

test("`readBlob()` may request the registry's own address, without credentials or a client certificate", async () => {
  await using place = await Place.start({ plainHttp: false }, { tls: certificate });
  const { registry } = place.harness;
  registry.pushBlob("public/files", BLOB);
  assert.ok((await place.read(`${registry.origin}/v2/public/files/blobs/${BLOB.digest}`)).equals(BYTES));
  const request = registry.requestsTo(/public/)[0];
  assert.equal(request?.headers["authorization"], undefined);
});

test("`readBlob()` requests no more than eight URLs of a layer", async () => {
  await using place = await Place.start();
  const urls = Array.from({ length: 200 }, (_, index) => place.url.replace("files", `none-${index}`));
  await assert.rejects(place.read(...urls, place.url), { code: "BLOB_NOT_FOUND" });
  assert.equal(place.elsewhere.requests.length, 8);
});
