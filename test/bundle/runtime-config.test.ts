import assert from "node:assert/strict";
import { test } from "node:test";
import { runtimeConfig, type RuntimeOptions } from "../../src/bundle/runtime-config.ts";
import { ShaleError } from "../../src/errors.ts";
import { parseConfig, type ImageConfig } from "../../src/image/config.ts";

const USER = { uid: 0, gid: 0, additionalGids: [], home: "/root" };
const OPTIONS: RuntimeOptions = { user: USER, readOnly: false, network: "none", volumes: "tmpfs" };

function image(config: Readonly<Record<string, unknown>> = {}, others: Readonly<Record<string, unknown>> = {}): ImageConfig {
  const rootfs = { type: "layers", diff_ids: [] };
  return parseConfig(
    Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", rootfs, config: { Cmd: ["sh"], ...config }, ...others })),
  );
}

interface Document {
  readonly process: Readonly<Record<string, unknown>> & { readonly capabilities: Readonly<Record<string, readonly string[]>> };
  readonly root: unknown;
  readonly mounts: readonly { readonly destination: string; readonly type: string; readonly options?: readonly string[] }[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: Readonly<Record<string, unknown>> & { readonly namespaces: readonly { readonly type: string }[] };
}

function documentOf(config: ImageConfig, options: Partial<RuntimeOptions> = {}): Document {
  return JSON.parse(JSON.stringify(runtimeConfig(config, { ...OPTIONS, ...options }).document)) as Document;
}

test("`runtimeConfig()` joins Entrypoint and Cmd, and lets the caller replace either as docker run does", () => {
  const config = image({ Entrypoint: ["/entry", "-v"], Cmd: ["serve", "all"] });
  const args = (options: Partial<RuntimeOptions>): unknown => documentOf(config, options).process["args"];
  assert.deepEqual(args({}), ["/entry", "-v", "serve", "all"]);
  assert.deepEqual(args({ args: ["x"] }), ["/entry", "-v", "x"]);
  assert.deepEqual(args({ entrypoint: ["/other"] }), ["/other"]);
  assert.deepEqual(args({ entrypoint: [], args: ["x"] }), ["x"]);
});

test("`runtimeConfig()` keeps the image's environment, adds PATH and HOME if missing, and puts the caller's variables last", () => {
  const env = (options: Partial<RuntimeOptions>, list: readonly string[]): unknown =>
    documentOf(image({ Env: list }), options).process["env"];
  const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  assert.deepEqual(env({}, ["A=1", "B=x=y\n", "E="]), [path, "HOME=/root", "A=1", "B=x=y\n", "E="]);
  assert.deepEqual(env({ env: ["A=3", "C=4"] }, ["PATH=/bin", "HOME=/x", "A=1", "A=2"]), ["PATH=/bin", "HOME=/x", "A=3", "C=4"]);
  assert.deepEqual(env({ terminal: true, user: { ...USER, home: undefined } }, []), [path, "HOME=/", "TERM=xterm"]);
});

test("`runtimeConfig()` gives capabilities only to root, and sets noNewPrivileges", () => {
  const { process: own } = documentOf(image());
  assert.equal(own.capabilities["effective"]?.length, 14);
  assert.equal(own["noNewPrivileges"], true);
  const { process: other } = documentOf(image(), { user: { uid: 5, gid: 6, additionalGids: [7], home: undefined } });
  assert.deepEqual([other.capabilities["effective"], other.capabilities["ambient"], other.capabilities["bounding"]?.length], [[], [], 14]);
  assert.deepEqual(other["user"], { uid: 5, gid: 6, additionalGids: [7] });
});

test("`runtimeConfig()` writes the annotations of image-spec, and labels replace them", () => {
  const labels = { note: "x", __proto__: "y", "org.opencontainers.image.author": "label" };
  const raw = JSON.parse(`{"note":"x","__proto__":"y","org.opencontainers.image.author":"label"}`) as typeof labels;
  const config = image(
    { Labels: raw, StopSignal: "SIGINT", ExposedPorts: { "80/tcp": {}, "53/udp": {} } },
    { author: "me", created: "2020-01-01T00:00:00Z" },
  );
  const { annotations } = documentOf(config);
  const wanted = {
    os: "linux",
    architecture: "amd64",
    author: "label",
    created: "2020-01-01T00:00:00Z",
    stopSignal: "SIGINT",
    exposedPorts: "80/tcp,53/udp",
  };
  for (const [name, value] of Object.entries(wanted)) assert.equal(annotations[`org.opencontainers.image.${name}`], value);
  assert.equal(annotations["note"], "x");
  assert.equal(Object.getOwnPropertyDescriptor(annotations, "__proto__")?.value, "y");
});

test("`runtimeConfig()` omits labels that a runtime acts on, and returns their names", () => {
  const Labels = {
    "run.oci.hooks.stderr": "/etc/shadow",
    "org.systemd.property.ExecStart": "x",
    "io.katacontainers.config": "y",
    fine: "z",
  };
  const { document, omittedLabels } = runtimeConfig(image({ Labels }), OPTIONS);
  assert.deepEqual([...omittedLabels], Object.keys(Labels).slice(0, 3));
  const kept = Object.keys(document["annotations"] as object).filter((name) => !name.startsWith("org.opencontainers."));
  assert.deepEqual(kept, ["fine"]);
});

test("`runtimeConfig()` mounts volumes as tmpfs with a copy of the image's files, parents first, or leaves them on the root file system", () => {
  const config = image({ Volumes: { "/var/lib/db/": {}, "/data/../data": {}, "/var": {} } });
  const own = documentOf(config).mounts.filter(({ options }) => options?.includes("tmpcopyup"));
  assert.deepEqual(
    own.map(({ destination, type }) => [destination, type]),
    [
      ["/data", "tmpfs"],
      ["/var", "tmpfs"],
      ["/var/lib/db", "tmpfs"],
    ],
  );
  assert.equal(documentOf(config, { volumes: "rootfs" }).mounts.length, documentOf(image()).mounts.length);
});

test("`runtimeConfig()` makes a user namespace from mappings, and uses no unmapped group in it", () => {
  const ids = [{ containerId: 0, hostId: 1000, size: 1 }];
  const { linux, mounts } = documentOf(image(), { mappings: { uids: ids, gids: ids }, network: "host" });
  assert.deepEqual(linux["uidMappings"], [{ containerID: 0, hostID: 1000, size: 1 }]);
  assert.deepEqual(
    linux.namespaces.map(({ type }) => type),
    ["pid", "ipc", "uts", "mount", "cgroup", "user"],
  );
  assert.ok(!mounts.some(({ options }) => options?.includes("gid=5")));
  assert.equal(linux["resources"], undefined);
});

const many = (count: number, name: (at: number) => string): Record<string, object> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [name(at), {}]));

const HOSTILE: readonly (readonly [what: string, config: Readonly<Record<string, unknown>>])[] = [
  ["no program", { Cmd: [] }],
  ["a program without a name", { Cmd: [""] }],
  ["a relative working directory", { WorkingDir: "work" }],
  ["a working directory beyond PATH_MAX", { WorkingDir: `/${"x".repeat(5000)}` }],
  ["a variable without a name", { Env: ["=x"] }],
  ["a variable that is no assignment", { Env: ["LD_PRELOAD"] }],
  ["an argument longer than Linux takes", { Cmd: ["x".repeat(131_072)] }],
  ["arguments longer than Linux takes together", { Cmd: Array.from({ length: 3000 }, () => "x".repeat(500)) }],
  ["a million empty variables", { Env: Array.from({ length: 150_000 }, (_, at) => `V${at}=`) }],
  ["a relative volume", { Volumes: { "data/x": {} } }],
  ["a volume over the root", { Volumes: { "/x/..": {} } }],
  ["a volume over /proc", { Volumes: { "/a/../proc/1": {} } }],
  ["257 volumes", { Volumes: many(257, (at) => `/v${at}`) }],
  ["4097 ports", { ExposedPorts: many(4097, (at) => `${at}/tcp`) }],
];

for (const [what, config] of HOSTILE) {
  test(`\`runtimeConfig()\` refuses a config with ${what}`, () => {
    assert.throws(
      () => runtimeConfig(image(config), OPTIONS),
      (error) => ShaleError.is(error, "CONFIG_INVALID"),
    );
  });
}

test("A NUL in an argument or variable gives CONFIG_INVALID, from the config or from the caller", () => {
  for (const name of ["Cmd", "Entrypoint", "Env"]) assert.throws(() => image({ [name]: ["A=\0"] }), { code: "CONFIG_INVALID" });
  for (const name of ["User", "WorkingDir"]) assert.throws(() => image({ [name]: "/\0" }), { code: "CONFIG_INVALID" });
  assert.throws(() => runtimeConfig(image(), { ...OPTIONS, env: ["A=\0"] }), { code: "CONFIG_INVALID" });
});
