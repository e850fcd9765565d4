import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as forward, type IncomingMessage, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { parseReference } from "../../../src/image/reference.ts";
import { proxyFromEnvironment } from "../../../src/source/http/proxy.ts";
import { RegistrySource } from "../../../src/source/registry/registry-source.ts";
import { startRegistry } from "../../../src/testing/index.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { collect, Harness, QUICK } from "../registry-harness.ts";

function choose(env: Readonly<Record<string, string>>, url: string): string | undefined {
  return proxyFromEnvironment(env)(new URL(url))?.href;
}

test("`proxyFromEnvironment()` uses the proxy of the URL's scheme, lower case first, then ALL_PROXY", () => {
  const env = { HTTP_PROXY: "http://plain:1", HTTPS_PROXY: "http://upper:1", https_proxy: "lower:2" };
  assert.equal(choose(env, "http://r.test/"), "http://plain:1/");
  assert.equal(choose(env, "https://r.test/"), "http://lower:2/");
  assert.equal(choose({ ALL_PROXY: "socks5://all:3" }, "https://r.test/"), "socks5://all:3");
  assert.equal(choose({ HTTP_PROXY: "http://plain:1", https_proxy: "" }, "https://r.test/"), undefined);
});

test("`proxyFromEnvironment()` uses no proxy for the entries of NO_PROXY and for this machine", () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ["", "https://r.test/", true],
    ["r.test", "https://r.test/", false],
    ["r.test", "https://sub.r.test/", false],
    ["r.test", "https://other.test/", true],
    ["r.test", "https://bar.test/", true],
    ["r.test", "https://xr.test/", true],
    [".r.test", "https://r.test/", true],
    [".r.test", "https://sub.r.test/", false],
    ["*.r.test", "https://sub.r.test/", false],
    ["R.TEST", "https://r.test/", false],
    ["a.test, r.test", "https://r.test/", false],
    ["a.test r.test", "https://r.test/", false],
    ["*", "https://r.test/", false],
    ["r.test:443", "https://r.test/", false],
    ["r.test:443", "https://r.test:444/", true],
    ["r.test:80", "http://r.test/", false],
    ["10.1.2.3", "http://10.1.2.3/", false],
    ["10.0.0.0/8", "http://10.1.2.3/", false],
    ["10.0.0.0/8", "http://11.1.2.3/", true],
    ["10.0.0.0/8", "http://r.test/", true],
    ["10.0.0.0/99", "http://10.1.2.3/", true],
    ["fd00::/8", "http://[fd00::1]/", false],
    ["fd00::1", "http://[fd00::1]/", false],
    ["[fd00::1]:5000", "http://[fd00::1]:5000/", false],
    ["[fd00::1]:5000", "http://[fd00::1]:5001/", true],
    ["", "http://localhost:5000/", false],
    ["", "http://127.1.2.3:5000/", false],
    ["", "http://[::1]:5000/", false],
  ];
  for (const [exceptions, url, proxied] of cases) {
    const env = { HTTP_PROXY: "http://p:1", HTTPS_PROXY: "http://p:1", NO_PROXY: exceptions };
    assert.equal(choose(env, url) !== undefined, proxied, `${exceptions} ${url}`);
  }
});

test("`proxyFromEnvironment()` refuses text that is not the URL of a proxy, and does not show it", () => {
  for (const text of ["http://[", "file:///topsecret", "ftp://user:topsecret@p"]) {
    assert.throws(
      () => proxyFromEnvironment({ HTTPS_PROXY: text }),
      (error) => error instanceof TypeError && !error.message.includes("topsecret"),
    );
  }
});

/** A proxy that resolves every name to 127.0.0.1. */
class Proxy implements AsyncDisposable {
  readonly #server: Server = createServer();
  readonly seen: string[] = [];
  readonly authorizations = new Set<string | undefined>();

  static async start(): Promise<Proxy> {
    const proxy = new Proxy();
    proxy.#server.on("connect", (message: IncomingMessage, socket: Socket) => {
      proxy.#note(message);
      const upstream = connect(Number(message.url?.split(":")[1]), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on("error", () => socket.destroy());
      socket.on("error", () => upstream.destroy());
    });
    proxy.#server.on("request", (message, response) => {
      proxy.#note(message);
      const { port, pathname, search } = new URL(message.url ?? "");
      const { "proxy-authorization": _, ...headers } = message.headers;
      const upstream = forward({ port, host: "127.0.0.1", path: pathname + search, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      message.pipe(upstream);
    });
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://user:p%40ss@127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #note(message: IncomingMessage): void {
    this.seen.push(`${message.method} ${message.url}`);
    this.authorizations.add(message.headers["proxy-authorization"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

test("`RegistrySource` sends plain HTTP through a proxy, with the proxy's credentials", async () => {
  await using proxy = await Proxy.start();
  await using harness = new Harness(await startRegistry(), {});
  const port = harness.registry.host.split(":")[1];
  const proxyFor = proxyFromEnvironment({ HTTP_PROXY: proxy.url });
  const source = new RegistrySource({ plainHttp: true, credentials: "anonymous", hostDirectories: [], retry: QUICK, http: { proxyFor } });
  const reference = parseReference(`registry.invalid:${port}/team/app:v1`);
  await source.resolve(reference);
  assert.ok((await collect(source.readBlob(reference, harness.descriptor))).equals(harness.bytes));
  await source.close();
  assert.equal(proxy.seen[0], `GET http://registry.invalid:${port}/v2/team/app/manifests/v1`);
  assert.deepEqual([...proxy.authorizations], [`Basic ${Buffer.from("user:p@ss").toString("base64")}`]);
  assert.ok(harness.registry.requests.every(({ headers }) => headers["proxy-authorization"] === undefined));
});

test("`RegistrySource` tunnels TLS through a proxy, and verifies the registry's certificate", async () => {
  const authority = await makeAuthority("proxy test");
  await using proxy = await Proxy.start();
  await using harness = new Harness(await startRegistry({ tls: await authority.issue("DNS:registry.invalid") }), {});
  const port = harness.registry.host.split(":")[1];
  const reference = parseReference(`registry.invalid:${port}/team/app:v1`);
  const proxyFor = proxyFromEnvironment({ HTTPS_PROXY: proxy.url });
  const options = { credentials: "anonymous", hostDirectories: [], retry: QUICK, http: { proxyFor } } as const;
  const trusting = new RegistrySource({ ...options, ca: authority.cert });
  await trusting.resolve(reference);
  assert.ok((await collect(trusting.readBlob(reference, harness.descriptor))).equals(harness.bytes));
  await trusting.close();
  assert.deepEqual(new Set(proxy.seen), new Set([`CONNECT registry.invalid:${port}`]));
  const other = new RegistrySource(options);
  await assert.rejects(other.resolve(reference), { code: "REGISTRY_UNREACHABLE" });
  await other.close();
});

test("`RegistrySource` fails with REGISTRY_UNREACHABLE when the proxy refuses", async () => {
  const server = createServer((_, response) => response.writeHead(407).end());
  server.on("connect", (_, socket) => socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://user:topsecret@127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxyFor = proxyFromEnvironment({ HTTP_PROXY: url, HTTPS_PROXY: url });
  for (const plainHttp of [true, false]) {
    const source = new RegistrySource({ plainHttp, credentials: "anonymous", hostDirectories: [], retry: QUICK, http: { proxyFor } });
    await assert.rejects(source.resolve(parseReference("registry.invalid:5000/team/app:v1")), (error) => {
      assert.equal((error as { code?: string }).code, "REGISTRY_UNREACHABLE");
      return !(error as Error).message.includes("topsecret");
    });
    await source.close();
  }
  server.closeAllConnections();
  server.close();
});
