/** Real registries: Debian's docker-registry behind TLS, passwords and tokens, as a mirror, and behind nginx. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { openStore, Registry, type Image, type ProgressEvent, type PullOptions, type RegistryOptions } from "../../src/index.ts";
import { findCredentials } from "../../src/source/auth/find-credentials.ts";
import { buildImage, buildLayer, startRegistry, writeLayout, type TestImage } from "../../src/testing/index.ts";
import { makeAuthority } from "../support/certificates.ts";
import { ACCOUNT, pushLayout, startDockerRegistry, type DockerRegistry } from "../support/docker-registry.ts";
import { startNginx } from "../support/nginx.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";
import { startTokenServer } from "../support/token-server.ts";

const CONTENT: Buffer = randomBytes(3_000_000);

const authority = await makeAuthority("integration test");
const certificate = await authority.issue("IP:127.0.0.1");

/** An open registry with one image; others serve its storage. */
class Place implements AsyncDisposable {
  readonly path: string;
  readonly open: DockerRegistry;
  readonly image: TestImage;
  readonly #directory: TemporaryDirectory;
  #stores = 0;

  constructor(directory: TemporaryDirectory, open: DockerRegistry, image: TestImage) {
    this.path = directory.path;
    this.open = open;
    this.image = image;
    this.#directory = directory;
  }

  static async make(): Promise<Place> {
    const directory = await temporaryDirectory();
    const layers = [await buildLayer([{ path: "etc/motd", content: "hello\n" }]), await buildLayer([{ path: "noise", content: CONTENT }])];
    const image = buildImage({ layers });
    await writeLayout(join(directory.path, "layout"), { v1: image });
    const open = await startDockerRegistry();
    await pushLayout({ directory: join(directory.path, "layout"), tag: "v1" }, open, { repository: "team/app", tag: "v1" });
    return new Place(directory, open, image);
  }

  get blobBytes(): number {
    return this.image.layers.reduce((sum, { size }) => sum + size, 0);
  }

  write(name: string, text: string): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** Into a new store each time. */
  async pull(host: string, options: Omit<Partial<RegistryOptions>, "store">, pull: PullOptions = {}): Promise<Image> {
    await using store = await openStore(join(this.path, `store-${this.#stores++}`));
    await using registry = new Registry({ credentials: "anonymous", hostDirectories: [], ...options, store });
    await using image = await registry.pull(`${host}/team/app:v1`, pull);
    assert.equal(image.manifestDigest, this.image.manifest.digest);
    assert.ok(readFileSync(join(image.layers[1]!, "noise")).equals(CONTENT));
    return image;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.open[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }
}

test("`pull()` reads from docker-registry with TLS of a private authority and a password, configured as Docker is", async () => {
  await using place = await Place.make();
  await using registry = await startDockerRegistry({ storage: place.open.storage, tls: certificate, password: true });
  place.write(`certs.d/${registry.host}/ca.crt`, authority.cert);
  const auth = Buffer.from(`${ACCOUNT.username}:${ACCOUNT.password}`).toString("base64");
  const file = place.write("docker/config.json", JSON.stringify({ auths: { [registry.host]: { auth } } }));
  const credentials = findCredentials({ HOME: place.path, DOCKER_CONFIG: dirname(file), XDG_RUNTIME_DIR: place.path });
  const hostDirectories = [join(place.path, "certs.d")];
  const image = await place.pull(registry.host, { credentials, hostDirectories });
  assert.equal(image.stats.downloadedBytes, place.blobBytes);
  await assert.rejects(place.pull(registry.host, { hostDirectories }), { code: "REGISTRY_UNAUTHORIZED" });
  await assert.rejects(place.pull(registry.host, { credentials }), { code: "REGISTRY_UNREACHABLE" });
  assert.ok(!registry.log().includes(ACCOUNT.password));
});

for (const how of ["password", "identity token"] as const) {
  test(`\`pull()\` gets tokens for docker-registry by ${how}, one for all its requests`, async () => {
    await using place = await Place.make();
    await using tokens = await startTokenServer({ ...ACCOUNT, identityToken: "refresh-me" });
    await using registry = await startDockerRegistry({ storage: place.open.storage, token: tokens.configuration });
    const credentials = how === "password" ? ACCOUNT : { identityToken: "refresh-me" };
    await place.pull(registry.host, { plainHttp: true, credentials });
    assert.deepEqual(tokens.scopes, ["repository:team/app:pull"]);
    const wrong = how === "password" ? { ...ACCOUNT, password: "wrong" } : { identityToken: "wrong" };
    await assert.rejects(place.pull(registry.host, { plainHttp: true, credentials: wrong }), { code: "REGISTRY_UNAUTHORIZED" });
  });
}

test("`pull()` takes a pull-through mirror behind hosts.toml, and the registry when the mirror has gone", async () => {
  await using place = await Place.make();
  const mirror = await startDockerRegistry({ mirrorOf: `http://${place.open.host}` });
  place.write(`certs.d/${place.open.host}/hosts.toml`, `[host."http://${mirror.host}"]\n  capabilities = ["pull", "resolve"]\n`);
  const options = { plainHttp: [place.open.host], hostDirectories: [join(place.path, "certs.d")] };
  const events: ProgressEvent[] = [];
  await place.pull(place.open.host, options, { onProgress: (event) => events.push(event) });
  assert.deepEqual(
    new Set(events.flatMap((event) => (event.kind === "serving" ? [`${event.host} ${event.mirror}`] : []))),
    new Set([`${mirror.host} true`]),
  );
  assert.match(mirror.log(), /ns=/);
  await mirror[Symbol.asyncDispose]();
  await place.pull(place.open.host, options);
});

test("`pull()` follows nginx to its blob host without credentials, and goes on there by Range", async () => {
  await using place = await Place.make();
  await using closed = await startDockerRegistry({ storage: place.open.storage, password: true });
  await using nginx = await startNginx(closed, certificate);
  const options = { ca: authority.cert, credentials: ACCOUNT };
  await place.pull(nginx.host, options);
  const log = await nginx.blobLog();
  assert.equal(log.length, 3);
  for (const line of log) assert.match(line, /^GET 200 \d+ "-" "-" \/data\/sha256:[0-9a-f]{64}\?signature=secret HTTP\/1\.1$/);
  const { digest, content, size } = place.image.layers[1]!;
  await using store = await openStore(join(place.path, "resumed"));
  const spool = join(store.path, "staging/downloads", digest.replace(":", "-"));
  mkdirSync(dirname(spool), { recursive: true });
  writeFileSync(spool, (content as Uint8Array).subarray(0, 1_000_000));
  await using registry = new Registry({ hostDirectories: [], ...options, store });
  await using image = await registry.pull(`${nginx.host}/team/app:v1`);
  assert.equal(image.stats.downloadedBytes, place.blobBytes - 1_000_000);
  const resumed = (await nginx.blobLog()).slice(3).filter((line) => line.includes(digest));
  assert.deepEqual(resumed, [`GET 206 ${size - 1_000_000} "bytes=1000000-${size - 1}" "-" /data/${digest}?signature=secret HTTP/1.1`]);
});

test("`pull()` speaks HTTP/2 with nginx and its blob host, for whole blobs and for ranges", async () => {
  await using place = await Place.make();
  await using closed = await startDockerRegistry({ storage: place.open.storage, password: true });
  await using nginx = await startNginx(closed, certificate);
  const options = { ca: authority.cert, credentials: ACCOUNT, http2: true };
  await place.pull(nginx.host, options);
  await place.pull(nginx.host, { ...options, parallelRanges: { count: 2, minBytes: 1_000_000 } });
  const log = await nginx.blobLog();
  assert.equal(log.length, 6);
  for (const line of log) assert.match(line, /HTTP\/2\.0$/);
});

test("`pull()` takes each byte of a docker-registry once, though connections break, stall and are refused on the way", async () => {
  await using place = await Place.make();
  await using way = await startRegistry({ upstream: `http://${place.open.host}` });
  const match = new RegExp(place.image.layers[1]!.digest);
  way.misbehave(
    { match, action: { kind: "cut", after: 1_000_000 } },
    { match, action: { kind: "respond", status: 429, headers: { "retry-after": "1" } } },
    { match, action: { kind: "cut", after: 500_000 } },
    { match, action: { kind: "drop" } },
  );
  const { stats } = await place.pull(way.host, { plainHttp: true });
  assert.equal(stats.downloadedBytes, place.blobBytes);
  const sent = way.requestsTo(match).map(({ status, bytes }) => [status, bytes]);
  const rest = place.image.layers[1]!.size - 1_500_000;
  assert.deepEqual(sent, [
    [200, 1_000_000],
    [429, 0],
    [206, 500_000],
    [0, 0],
    [206, rest],
  ]);
});
