/** Mirrors and certificates in the directories of containerd and Docker. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ShaleError } from "../../../src/errors.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { findHosts } from "../../../src/source/hosts/find-hosts.ts";
import type { Host } from "../../../src/source/hosts/host.ts";
import { RegistrySource, type RegistrySourceOptions } from "../../../src/source/registry/registry-source.ts";
import type { SourceEvent } from "../../../src/source/source.ts";
import { startRegistry, type RegistryOptions, type TestRegistry } from "../../../src/testing/index.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../../support/temporary-directory.ts";
import { BLOB_SIZE, collect, Harness, QUICK } from "../registry-harness.ts";

const AUTHORITY = await makeAuthority("hosts test");
const CERTIFICATE = await AUTHORITY.issue("IP:127.0.0.1", "IP:127.0.0.2");

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

async function hostsOf(registry: string, files: Readonly<Record<string, string>>): Promise<readonly Host[]> {
  await using directory = await temporaryDirectory();
  for (const [name, text] of Object.entries(files)) write(join(directory.path, name), text);
  const roots = [join(directory.path, "first"), join(directory.path, "second")];
  return await findHosts(registry, { directories: roots, isPlain: () => false, isInsecure: () => false, ca: [] });
}

test("`findHosts()` returns the registry itself if nothing is configured", async () => {
  for (const [registry, base] of [
    ["docker.io", "https://registry-1.docker.io/v2"],
    ["localhost:5000", "https://localhost:5000/v2"],
    ["[::1]:5000", "https://[::1]:5000/v2"],
  ] as const) {
    const [host, ...others] = await hostsOf(registry, {});
    assert.deepEqual([host?.name, host?.base.href, host?.mirror, host?.resolves, others.length], [registry, base, false, true, 0]);
  }
});

test("`findHosts()` keeps the order of the file, whatever the names, and the registry comes last", async () => {
  const text = `
    [host."https://z.test"]
    capabilities = ["pull"]
    [host."http://10.0.0.1:5000"]
    [host."https://a.test/cache/"]
      capabilities = ["Pull", "resolve"]
      [host."https://a.test/cache/".header]
        x-one = "1"
        x-many = ["a", "b"]
    [host."https://b.test/api"]
      override_path = true
      dial_timeout = "1m2.5s"
    [host."c.test"]
  `;
  const hosts = await hostsOf("ghcr.io", { "first/ghcr.io/hosts.toml": text });
  assert.deepEqual(
    hosts.map(({ base, mirror, resolves, pulls }) => [base.href, mirror, resolves, pulls]),
    [
      ["https://z.test/v2", true, false, true],
      ["http://10.0.0.1:5000/v2", true, true, true],
      ["https://a.test/cache/v2", true, true, true],
      ["https://b.test/api", true, true, true],
      ["https://c.test/v2", true, true, true],
      ["https://ghcr.io/v2", false, true, true],
    ],
  );
  assert.deepEqual(hosts[2]?.headers, { "x-one": "1", "x-many": "a, b" });
  assert.deepEqual(hosts[3]?.connectTimeout, 62_500);
});

test("`findHosts()` takes `server` for the registry, and for another host if its address differs", async () => {
  const here = await hostsOf("docker.io", { "first/docker.io/hosts.toml": 'server = "https://registry-1.docker.io"' });
  assert.deepEqual(
    here.map(({ name, mirror }) => [name, mirror]),
    [["docker.io", false]],
  );
  const there = await hostsOf("docker.io", {
    "first/docker.io/hosts.toml": 'server = "https://cache.test:444/hub"\ncapabilities = ["pull"]',
  });
  assert.deepEqual(
    there.map(({ name, mirror, base, resolves }) => [name, mirror, base.href, resolves]),
    [["cache.test:444", true, "https://cache.test:444/hub/v2", false]],
  );
});

test("`findHosts()` looks in `host_port_`, the host's name, `_default`, and then the next directory", async () => {
  const mirror = (name: string): string => `[host."https://${name}.test"]`;
  const files = {
    "first/r.test_5000_/hosts.toml": mirror("port"),
    "first/r.test/hosts.toml": mirror("name"),
    "first/_default/hosts.toml": mirror("default"),
    "second/s.test/hosts.toml": mirror("second"),
  };
  for (const [registry, expected] of [
    ["r.test:5000", "port.test"],
    ["r.test", "name.test"],
    ["s.test", "default.test"],
  ] as const) {
    assert.equal((await hostsOf(registry, files))[0]?.base.host, expected);
  }
  const { "first/_default/hosts.toml": _, ...rest } = files;
  assert.equal((await hostsOf("s.test", rest))[0]?.base.host, "second.test");
});

for (const [what, text] of [
  ["no TOML", 'server = "x'],
  ["an unknown capability", 'capabilities = ["fly"]'],
  ["a server that is no URL", 'server = "https://["'],
  ["a password in a URL", '[host."https://user:topsecret@a.test"]'],
  ["a header with a line feed", '[host."https://a.test".header]\nx = "topsecret\\n"'],
  ["a number for a header", '[host."https://a.test".header]\nx = 7'],
  ["an authority that is not there", 'ca = "absent.pem"'],
  ["a client certificate that is no path", "client = [[7, 8]]"],
  ["a malformed time", 'dial_timeout = "soon"'],
  ["a list for a host", 'host = ["a"]'],
] as const) {
  test(`\`findHosts()\` refuses a file with ${what}`, async () => {
    await assert.rejects(hostsOf("a.test", { "first/a.test/hosts.toml": text }), (error) => {
      assert.ok(ShaleError.is(error, "CONFIGURATION_INVALID"));
      return !`${error.message} ${String(error.cause)}`.includes("topsecret");
    });
  });
}

test("`findHosts()` uses client certificates and `skip_verify` only for their own origin, authorities also for others", async () => {
  const { cert, key } = CERTIFICATE;
  const hosts = await hostsOf("a.test", {
    "first/a.test/hosts.toml": 'ca = "ca.pem"\nclient = [["c.pem", "k.pem"]]\nskip_verify = true',
    "first/a.test/ca.pem": AUTHORITY.cert,
    "first/a.test/c.pem": cert,
    "first/a.test/k.pem": key,
  });
  assert.deepEqual(hosts[0]?.tls(new URL("https://a.test/v2/")), { ca: [AUTHORITY.cert], clients: [{ cert, key }], verify: false });
  assert.deepEqual(hosts[0]?.tls(new URL("https://b.test/")), { ca: [AUTHORITY.cert], clients: [], verify: true });
});

/** A registry, its mirrors, and a source that is configured for them. */
class Mirrored implements AsyncDisposable {
  readonly harness: Harness;
  readonly mirrors: readonly TestRegistry[];
  readonly events: SourceEvent[] = [];
  readonly #directory: TemporaryDirectory;

  constructor(harness: Harness, mirrors: readonly TestRegistry[], directory: TemporaryDirectory) {
    this.harness = harness;
    this.mirrors = mirrors;
    this.#directory = directory;
  }

  static async start(mirrors: readonly RegistryOptions[], extra = "", options: RegistrySourceOptions = {}): Promise<Mirrored> {
    const directory = await temporaryDirectory();
    const registry = await startRegistry();
    const started = await Promise.all(mirrors.map((mirror) => startRegistry(mirror)));
    const tables = started.map(({ origin }) => `[host."${origin}"]\n${extra}\n`);
    write(join(directory.path, registry.host, "hosts.toml"), tables.join(""));
    const harness = new Harness(registry, { hostDirectories: [directory.path], ...options });
    for (const mirror of started) mirror.push("team/app", "v1", harness.image);
    return new Mirrored(harness, started, directory);
  }

  async resolve(): Promise<string> {
    const { source, reference } = this.harness;
    return (await source.resolve(reference, { onEvent: (event) => this.events.push(event) })).descriptor.digest;
  }

  read(avoid: readonly string[] = []): Promise<Buffer> {
    const { source, reference, descriptor } = this.harness;
    const onEvent = (event: SourceEvent): number => this.events.push(event);
    return collect(source.readBlob(reference, descriptor, { avoid: new Set(avoid), onEvent }));
  }

  /** Requests to each mirror, then to the registry. */
  get counts(): readonly number[] {
    return [...this.mirrors, this.harness.registry].map(({ requests }) => requests.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.harness[Symbol.asyncDispose]();
    for (const mirror of this.mirrors) await mirror.close();
    await this.#directory[Symbol.asyncDispose]();
  }
}

test("`RegistrySource` asks only the mirror, and names the registry in the request", async () => {
  await using mirrored = await Mirrored.start([{}]);
  await mirrored.resolve();
  assert.ok((await mirrored.read()).equals(mirrored.harness.bytes));
  assert.deepEqual(mirrored.counts, [2, 0]);
  const { host } = mirrored.harness.registry;
  assert.ok(mirrored.mirrors[0]!.requests.every(({ path }) => new URL(path, "http://x").searchParams.get("ns") === host));
  assert.deepEqual(mirrored.events, [{ kind: "serving", host: mirrored.mirrors[0]!.host, mirror: true }]);
});

for (const [what, action] of [
  ["does not have it", { kind: "respond", status: 404 }],
  ["is overloaded", { kind: "respond", status: 429, headers: { "retry-after": "1" } }],
  ["is broken", { kind: "respond", status: 500 }],
  ["refuses us", { kind: "respond", status: 403 }],
  ["wants to know who we are", { kind: "respond", status: 401, headers: { "www-authenticate": 'Basic realm="x"' } }],
  ["drops the connection", { kind: "drop" }],
  ["redirects in circles", { kind: "redirect", location: "/v2/team/app/manifests/v1" }],
] as const) {
  test(`\`RegistrySource\` asks the next host at once when a mirror ${what}`, async () => {
    await using mirrored = await Mirrored.start([{ faults: [{ match: /./, times: 99, action }] }, {}]);
    assert.equal(await mirrored.resolve(), mirrored.harness.image.manifest.digest);
    assert.ok((await mirrored.read()).equals(mirrored.harness.bytes));
    const [first, ...rest] = mirrored.counts;
    assert.deepEqual(rest, [2, 0]);
    assert.ok(first! <= 12);
    assert.ok(
      mirrored.events.some((event) => event.kind === "retrying" && event.host === mirrored.mirrors[0]!.host && event.delayMs === 0),
    );
  });
}

test("`RegistrySource` asks the next host when a mirror sends a manifest with another digest", async () => {
  await using mirrored = await Mirrored.start([{ faults: [{ match: /manifests/, times: 9, action: { kind: "flip", at: 30 } }] }]);
  const { source, reference, image } = mirrored.harness;
  const pinned = parseReference(`${mirrored.harness.registry.host}/team/app@${image.manifest.digest}`);
  assert.equal((await source.resolve(pinned)).descriptor.digest, image.manifest.digest);
  const { digest, size, mediaType } = image.manifest;
  assert.equal((await source.readManifest(reference, { digest, size, mediaType })).descriptor.digest, digest);
  assert.deepEqual(mirrored.counts, [2, 2]);
});

test("`RegistrySource` resumes from the next host at the byte where a mirror's transfer broke", async () => {
  await using mirrored = await Mirrored.start([{ faults: [{ match: /blobs/, times: 9, action: { kind: "cut", after: 100_000 } }] }]);
  assert.ok((await mirrored.read()).equals(mirrored.harness.bytes));
  assert.deepEqual(mirrored.counts, [1, 1]);
  assert.deepEqual(mirrored.harness.ranges, [100_000]);
  assert.equal(mirrored.mirrors[0]!.bytesSent + mirrored.harness.registry.bytesSent, BLOB_SIZE);
  assert.deepEqual(
    mirrored.events.map(({ kind, host }) => [kind, host === mirrored.mirrors[0]!.host]),
    [
      ["serving", true],
      ["retrying", true],
      ["serving", false],
    ],
  );
});

test("`RegistrySource` asks an avoided host last", async () => {
  await using mirrored = await Mirrored.start([{}, {}]);
  const [first, second] = mirrored.mirrors;
  await mirrored.read([first!.host]);
  assert.deepEqual(mirrored.counts, [0, 1, 0]);
  await mirrored.read([first!.host, second!.host]);
  assert.deepEqual(mirrored.counts, [0, 1, 1]);
});

test("`RegistrySource` throws the registry's own error when all hosts fail", async () => {
  await using mirrored = await Mirrored.start([{ faults: [{ match: /./, times: 9, action: { kind: "respond", status: 403 } }] }]);
  const absent = parseReference(`${mirrored.harness.registry.host}/no/such:tag`);
  await assert.rejects(mirrored.harness.source.resolve(absent), { code: "IMAGE_NOT_FOUND" });
});

test("`RegistrySource` does not ask an unreachable mirror again for a while", async () => {
  await using mirrored = await Mirrored.start([{}]);
  await mirrored.mirrors[0]!.close();
  await mirrored.resolve();
  await mirrored.read();
  assert.equal(mirrored.events.filter(({ kind }) => kind === "retrying").length, 1);
});

test("`RegistrySource` does not resolve tags with a mirror that can only pull", async () => {
  await using mirrored = await Mirrored.start([{}], 'capabilities = ["pull"]');
  await mirrored.resolve();
  assert.deepEqual(mirrored.counts, [0, 1]);
  await mirrored.read();
  assert.deepEqual(mirrored.counts, [1, 1]);
});

test("`RegistrySource` sends one set of credentials only to the registry, and mirrors only those for their name", async () => {
  const account = { kind: "basic", username: "mirror", password: "its-own" } as const;
  const registryAccount = { username: "registry", password: "topsecret" };
  await using single = await Mirrored.start([{ auth: account }], "", { credentials: registryAccount });
  await single.resolve();
  assert.deepEqual(single.counts, [1, 1]);
  assert.ok(!JSON.stringify(single.mirrors[0]!.requests).includes("authorization"));
  const asked: string[] = [];
  const credentials = (host: string, repository: string): typeof registryAccount => {
    asked.push(`${host}/${repository}`);
    return account;
  };
  await using named = await Mirrored.start([{ auth: account }], "", { credentials });
  await named.resolve();
  assert.deepEqual(named.counts, [2, 0]);
  assert.deepEqual(asked, [`${named.mirrors[0]!.host}/team/app`]);
});

test("`RegistrySource` sends a mirror's configured headers to it, and not to its redirect targets", async () => {
  await using storage = await startRegistry({ address: "127.0.0.3" });
  await using mirrored = await Mirrored.start([{}], 'header = { x-key = "topsecret" }');
  storage.push("team/app", "v1", mirrored.harness.image);
  const location = `${storage.origin}/v2/team/app/blobs/${mirrored.harness.blob.digest}`;
  mirrored.mirrors[0]!.misbehave({ match: /blobs/, action: { kind: "redirect", location } });
  assert.ok((await mirrored.read()).equals(mirrored.harness.bytes));
  assert.deepEqual(
    [mirrored.mirrors[0]!, storage].map(({ requests }) => requests.map(({ headers }) => headers["x-key"])),
    [["topsecret"], [undefined]],
  );
});

interface Secure {
  readonly registry: TestRegistry;
  readonly resolve: (options?: RegistrySourceOptions) => Promise<unknown>;
  readonly directory: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A registry with TLS, and its configuration directory. */
async function startSecure(options: Partial<RegistryOptions> = {}): Promise<Secure> {
  const registry = await startRegistry({ tls: CERTIFICATE, ...options });
  const harness = new Harness(registry, {});
  const directory = await temporaryDirectory();
  const resolve = async (given: RegistrySourceOptions = {}): Promise<unknown> => {
    const source = new RegistrySource({ retry: QUICK, credentials: "anonymous", hostDirectories: [directory.path], ...given });
    try {
      return await source.resolve(harness.reference);
    } finally {
      await source.close();
    }
  };
  const end = async (): Promise<void> => {
    await harness[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  };
  return { registry, resolve, directory: directory.path, [Symbol.asyncDispose]: end };
}

test("`RegistrySource` trusts an authority given by option, by Docker's directory, or by hosts.toml, and no other", async () => {
  await using secure = await startSecure();
  await assert.rejects(secure.resolve(), { code: "REGISTRY_UNREACHABLE" });
  await secure.resolve({ ca: AUTHORITY.cert });
  write(join(secure.directory, secure.registry.host, "ca.crt"), AUTHORITY.cert);
  await secure.resolve();
  const stranger = await makeAuthority("stranger");
  write(join(secure.directory, secure.registry.host, "ca.crt"), stranger.cert);
  await assert.rejects(secure.resolve(), { code: "REGISTRY_UNREACHABLE" });
  write(join(secure.directory, secure.registry.host, "hosts.toml"), 'ca = "own.pem"');
  write(join(secure.directory, secure.registry.host, "own.pem"), AUTHORITY.cert);
  await secure.resolve();
});

test("`RegistrySource` accepts any certificate only of the hosts named insecure", async () => {
  await using secure = await startSecure();
  await secure.resolve({ insecure: [secure.registry.host] });
  await secure.resolve({ insecure: true });
  await assert.rejects(secure.resolve({ insecure: ["other.test"] }), { code: "REGISTRY_UNREACHABLE" });
  write(join(secure.directory, secure.registry.host, "hosts.toml"), "skip_verify = true");
  await secure.resolve();
});

test("`RegistrySource` sends a client certificate from Docker's directory", async () => {
  await using secure = await startSecure({ tls: { ...CERTIFICATE, clientCa: AUTHORITY.cert } });
  const client = await AUTHORITY.issue();
  const directory = join(secure.directory, secure.registry.host);
  write(join(directory, "ca.crt"), AUTHORITY.cert);
  await assert.rejects(secure.resolve(), { code: "REGISTRY_UNREACHABLE" });
  write(join(directory, "client.cert"), client.cert);
  await assert.rejects(secure.resolve(), { code: "CONFIGURATION_INVALID" });
  write(join(directory, "client.key"), client.key);
  await secure.resolve();
});
