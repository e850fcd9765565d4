import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { RequestListener } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { ShaleError } from "../../../src/errors.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { RegistrySource } from "../../../src/source/registry/registry-source.ts";
import { startRegistry } from "../../../src/testing/index.ts";
import { QUICK } from "../registry-harness.ts";

/** A self-signed certificate for 127.0.0.1. */
function makeCertificate(): { key: string; cert: string } {
  const directory = mkdtempSync(join(tmpdir(), "shale-tls-"));
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const subject = ["-subj", "/CN=shale test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...subject, "-keyout", key, "-out", cert], { stdio: "ignore" });
  const made = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  rmSync(directory, { recursive: true });
  return made;
}

const CERTIFICATE = makeCertificate();

class SecureRegistry {
  readonly server: Server;
  readonly source: RegistrySource = new RegistrySource({ retry: QUICK, credentials: { username: "user", password: "secret" } });
  connections = 0;

  constructor(answer: RequestListener) {
    this.server = createServer(CERTIFICATE, answer);
    this.server.on("connection", () => this.connections++);
  }

  async resolve(): Promise<unknown> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return this.source.resolve(parseReference(`127.0.0.1:${(this.server.address() as AddressInfo).port}/team/app:v1`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.close();
    this.server.closeAllConnections();
    this.server.close();
  }
}

async function trusting(run: () => Promise<void>): Promise<void> {
  const before = getCACertificates("default");
  setDefaultCACertificates([...before, CERTIFICATE.cert]);
  try {
    await run();
  } finally {
    setDefaultCACertificates(before);
  }
}

test("`RegistrySource` refuses a certificate of an unknown authority without a retry", async () => {
  let requests = 0;
  await using registry = new SecureRegistry(() => requests++);
  await assert.rejects(
    registry.resolve(),
    (error) => ShaleError.is(error, "REGISTRY_UNREACHABLE") && error.message.includes("NODE_EXTRA_CA_CERTS"),
  );
  assert.deepEqual([requests, registry.connections], [0, 1]);
});

test("`RegistrySource` follows no redirect from https to plain http", async () => {
  await trusting(async () => {
    await using plain = await startRegistry();
    await using registry = new SecureRegistry((_request, response) => {
      response.writeHead(307, { location: `${plain.origin}/v2/team/app/manifests/v1` }).end();
    });
    await assert.rejects(registry.resolve(), (error) => ShaleError.is(error, "REGISTRY_ERROR") && error.detail.status === 307);
    assert.equal(plain.requests.length, 0);
  });
});

test("`RegistrySource` requests no token over plain http for an https registry", async () => {
  await trusting(async () => {
    await using plain = await startRegistry({ auth: { kind: "token" } });
    await using registry = new SecureRegistry((_request, response) => {
      response.writeHead(401, { "www-authenticate": `Bearer realm="${plain.origin}/token"` }).end();
    });
    await assert.rejects(registry.resolve(), { code: "REGISTRY_UNAUTHORIZED" });
    assert.equal(plain.requests.length, 0);
  });
});
