import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ShaleError } from "../../../src/errors.ts";
import type { Credentials } from "../../../src/source/auth/credentials.ts";
import { findCredentials, type Environment } from "../../../src/source/auth/find-credentials.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** A home directory with these files; objects are written as JSON. */
class Home implements AsyncDisposable {
  readonly path: string;
  readonly #end: () => PromiseLike<void>;

  constructor(path: string, end: () => PromiseLike<void>) {
    this.path = path;
    this.#end = end;
  }

  static async make(files: Readonly<Record<string, unknown>>): Promise<Home> {
    const directory = await temporaryDirectory();
    const home = new Home(directory.path, () => directory[Symbol.asyncDispose]());
    for (const [name, content] of Object.entries(files)) home.write(name, typeof content === "string" ? content : JSON.stringify(content));
    return home;
  }

  get env(): Environment {
    return { HOME: this.path, XDG_RUNTIME_DIR: join(this.path, "run"), PATH: `${this.path}/bin:${process.env["PATH"]}` };
  }

  write(name: string, content: string): void {
    mkdirSync(dirname(join(this.path, name)), { recursive: true });
    writeFileSync(join(this.path, name), content);
  }

  /** Writes a helper as a shell script; `$server` is its input. */
  helper(name: string, script: string): void {
    this.write(`bin/docker-credential-${name}`, `#!/bin/sh\nread -r server\n${script}\n`);
    chmodSync(join(this.path, "bin", `docker-credential-${name}`), 0o755);
  }

  async find(host: string, repository = "team/app", env: Environment = {}, timeout = 10_000): Promise<Credentials | undefined> {
    return findCredentials({ ...this.env, ...env }, { timeout })(host, repository);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }
}

function auth(username: string, password = "secret"): { auth: string } {
  return { auth: Buffer.from(`${username}:${password}`).toString("base64") };
}

const DOCKER = ".docker/config.json";
const CONTAINERS = ".config/containers/auth.json";

test("`findCredentials()` finds no credentials without files", async () => {
  await using home = await Home.make({});
  assert.equal(await home.find("ghcr.io"), undefined);
});

test("`findCredentials()` reads auth.json of the run-time directory, of the configuration directory, then Docker's config.json", async () => {
  const files = ["run/containers/auth.json", CONTAINERS, DOCKER];
  for (let first = 0; first < files.length; first++) {
    await using home = await Home.make(
      Object.fromEntries(files.slice(first).map((name, at) => [name, { auths: { "ghcr.io": auth(String(first + at)) } }])),
    );
    assert.equal((await home.find("ghcr.io"))?.username, String(first));
  }
});

test("`findCredentials()` reads the next file when one has no credentials for the registry", async () => {
  await using home = await Home.make({ [CONTAINERS]: { auths: { "quay.io": auth("a") } }, [DOCKER]: { auths: { "ghcr.io": auth("b") } } });
  assert.equal((await home.find("ghcr.io"))?.username, "b");
});

test("`findCredentials()` uses XDG_CONFIG_HOME and DOCKER_CONFIG", async () => {
  await using home = await Home.make({
    "xdg/containers/auth.json": { auths: { "a.io": auth("a") } },
    "docker/config.json": { auths: { "b.io": auth("b") } },
    [DOCKER]: { auths: { "a.io": auth("wrong"), "b.io": auth("wrong") } },
  });
  const env = { XDG_CONFIG_HOME: join(home.path, "xdg"), DOCKER_CONFIG: join(home.path, "docker") };
  assert.equal((await home.find("a.io", "x/y", env))?.username, "a");
  assert.equal((await home.find("b.io", "x/y", env))?.username, "b");
});

test("`findCredentials()` reads only REGISTRY_AUTH_FILE, which must exist", async () => {
  await using home = await Home.make({ "mine.json": { auths: {} }, [DOCKER]: { auths: { "ghcr.io": auth("b") } } });
  assert.equal(await home.find("ghcr.io", "x/y", { REGISTRY_AUTH_FILE: join(home.path, "mine.json") }), undefined);
  const absent = join(home.path, "absent.json");
  await assert.rejects(
    home.find("ghcr.io", "x/y", { REGISTRY_AUTH_FILE: absent }),
    (error) => ShaleError.is(error, "CONFIGURATION_INVALID") && error.detail.path === absent,
  );
});

test("`findCredentials()` uses the longest key that matches the repository", async () => {
  const auths = { "ghcr.io": auth("host"), "ghcr.io/team": auth("team"), "ghcr.io/team/app": auth("app"), "ghcr.io/tea": auth("wrong") };
  await using home = await Home.make({ [CONTAINERS]: { auths } });
  for (const [repository, username] of [
    ["team/app", "app"],
    ["team/app/part", "app"],
    ["team/application", "team"],
    ["other", "host"],
  ] as const) {
    assert.equal((await home.find("ghcr.io", repository))?.username, username, repository);
  }
});

for (const key of [
  "https://index.docker.io/v1/",
  "index.docker.io/v1/",
  "docker.io",
  "index.docker.io",
  "registry-1.docker.io",
  "https://registry-1.docker.io/v2/",
  "registry.hub.docker.com",
]) {
  test(`\`findCredentials()\` accepts ${key} for docker.io`, async () => {
    await using home = await Home.make({ [DOCKER]: { auths: { [key]: auth("me") } } });
    assert.equal((await home.find("docker.io", "library/alpine"))?.username, "me");
  });
}

test("`findCredentials()` reads keys that are URLs, as old Docker versions wrote them", async () => {
  await using home = await Home.make({ [DOCKER]: { auths: { "https://a.io/v1/": auth("a"), "http://b.io:5000": auth("b") } } });
  assert.equal((await home.find("a.io"))?.username, "a");
  assert.equal((await home.find("b.io:5000"))?.username, "b");
  assert.equal(await home.find("b.io"), undefined);
});

for (const [what, entry, expected] of [
  ["a password with colons, padded with NULs", { auth: Buffer.from("me:a:b\0\0").toString("base64") }, { username: "me", password: "a:b" }],
  ["plain fields", { username: "me", password: "pw" }, { username: "me", password: "pw" }],
  ["an identity token", { ...auth("me", ""), identitytoken: "refresh" }, { username: "me", identityToken: "refresh" }],
  ["a registry token", { registrytoken: "bearer" }, { registryToken: "bearer" }],
  ["an empty entry", {}, undefined],
] as const) {
  test(`\`findCredentials()\` reads ${what}`, async () => {
    await using home = await Home.make({ [DOCKER]: { auths: { "ghcr.io": entry } } });
    const found = await home.find("ghcr.io");
    assert.deepEqual(found && JSON.parse(JSON.stringify(found)), expected);
  });
}

for (const [what, content] of [
  ["no JSON", '{"auths":{"ghcr.io":{"auth":"c2VjcmV0LXRleHQ6"'],
  ["no object", '["c2VjcmV0LXRleHQ6"]'],
  ["an auth that is no pair", '{"auths":{"ghcr.io":{"auth":"c2VjcmV0LXRleHQ="}}}'],
  ["a number for a helper", '{"credHelpers":{"ghcr.io":7},"auths":{}}'],
  ["an auth that is no string", '{"auths":{"ghcr.io":{"auth":["c2VjcmV0LXRleHQ6"]}}}'],
] as const) {
  test(`\`findCredentials()\` refuses a file with ${what}, and does not quote it`, async () => {
    await using home = await Home.make({ [DOCKER]: content });
    await assert.rejects(home.find("ghcr.io"), (error) => {
      assert.ok(ShaleError.is(error, "CONFIGURATION_INVALID"));
      assert.equal(error.detail.path, join(home.path, DOCKER));
      return !/c2Vjcm|secret-text/.test(`${error.stack} ${String(error.cause)}`);
    });
  });
}

test("`findCredentials()` asks the registry's own helper, then the default helper, then the file", async () => {
  await using home = await Home.make({
    [DOCKER]: { credHelpers: { "a.io": "own" }, credsStore: "all", auths: { "c.io": auth("file"), "a.io": auth("wrong") } },
  });
  home.helper("own", `echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"own\\",\\"Secret\\":\\"$server\\"}"`);
  home.helper(
    "all",
    `[ "$server" = c.io ] && echo "credentials not found in native keychain" && exit 1; echo '{"Username":"all","Secret":"s"}'`,
  );
  assert.deepEqual(await home.find("a.io"), { username: "own", password: "a.io" });
  assert.equal((await home.find("b.io"))?.username, "all");
  assert.equal((await home.find("c.io"))?.username, "file");
});

test("`findCredentials()` asks helpers for docker.io by its key in Docker's files, and reads identity tokens", async () => {
  await using home = await Home.make({ [DOCKER]: { credHelpers: { "https://index.docker.io/v1/": "hub" } } });
  home.helper("hub", `echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"$server\\"}"`);
  assert.deepEqual(await home.find("docker.io", "library/alpine"), { identityToken: "https://index.docker.io/v1/" });
});

for (const [what, script] of [
  ["fails", 'echo "topsecret"; echo "topsecret" >&2; exit 3'],
  ["answers no JSON", "echo topsecret"],
  ["answers something else", `echo '["topsecret"]'`],
  ["answers without end", "yes topsecret"],
  ["ends by a signal", "kill -9 $$"],
] as const) {
  test(`\`findCredentials()\` names a helper that ${what}, and does not show its output`, async () => {
    await using home = await Home.make({ [DOCKER]: { credsStore: "bad" } });
    home.helper("bad", script);
    await assert.rejects(home.find("ghcr.io"), (error) => {
      assert.ok(ShaleError.is(error, "CREDENTIAL_HELPER_FAILED"));
      assert.equal(error.detail.helper, "docker-credential-bad");
      return !`${error.stack} ${String(error.cause)}`.includes("topsecret");
    });
  });
}

test("`findCredentials()` names a missing helper, and one whose name is a path", async () => {
  for (const name of ["absent", "../../evil", "a b", ""]) {
    await using home = await Home.make({ [DOCKER]: { credHelpers: { "ghcr.io": name } } });
    if (name === "") assert.equal(await home.find("ghcr.io"), undefined);
    else await assert.rejects(home.find("ghcr.io"), { code: "CREDENTIAL_HELPER_FAILED" });
  }
});

test("`findCredentials()` kills a helper that takes too long, and its children", { timeout: 60_000 }, async () => {
  await using home = await Home.make({ [DOCKER]: { credsStore: "slow" } });
  home.helper("slow", `sleep 3600 & echo $! > ${home.path}/pid; wait`);
  await assert.rejects(home.find("ghcr.io", "x", {}, 1500), { code: "CREDENTIAL_HELPER_FAILED" });
  const pid = Number(readFileSync(join(home.path, "pid"), "utf8"));
  await new Promise((resolve) => setTimeout(resolve, 200));
  // dead, or a zombie
  const state = readStatus(pid);
  assert.ok(state === undefined || state === "Z", state);
});

function readStatus(pid: number): string | undefined {
  try {
    return /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  } catch {
    // the process is gone
    return undefined;
  }
}
