import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ShaleError } from "../../src/errors.ts";
import { IMAGE, runFake } from "./fake-context.ts";

const REFERENCE = "alpine:3.20";

describe("run() with pull", () => {
  test("run() prints reference, digest, what was downloaded, and the layers from bottom to top", async () => {
    const { stdout, exitCode, calls } = await runFake(["pull", REFERENCE]);
    const lines = stdout.split("\n");
    assert.equal(exitCode, 0);
    assert.deepEqual([lines[0], lines[1], ...lines.slice(3)], [IMAGE.reference, IMAGE.manifestDigest, ...IMAGE.layers, ""]);
    assert.deepEqual(calls, ["openStore", "pull", "image closed", "registry closed", "store closed"]);
  });

  test("run() prints `cached` in the third line if nothing was downloaded", async () => {
    const { stdout } = await runFake(["pull", REFERENCE], { image: { cached: true } });
    assert.equal(stdout.split("\n")[2], "cached");
  });

  test("run() prints with --quiet only the layer directories, and no progress", async () => {
    const { stdout, stderr } = await runFake(["pull", "-q", REFERENCE], { events: [{ kind: "resolving", reference: REFERENCE }] });
    assert.equal(stdout, IMAGE.layers.map((layer) => `${layer}\n`).join(""));
    assert.equal(stderr, "");
  });

  test("run() prints with --json one JSON object without control characters", async () => {
    const { stdout } = await runFake(["pull", "--json", REFERENCE]);
    const { reference, manifestDigest, cached, layers, config, stats } = IMAGE;
    assert.deepEqual(JSON.parse(stdout), { reference, manifestDigest, cached, layers, config, stats });
    assert.match(stdout, /^[\x20-\x7e]*\n$/);
  });

  test("run() passes every option to the API", async () => {
    const argv = [
      "pull",
      "--store",
      "/s",
      "--policy",
      "always",
      "--force",
      "--materialize",
      "lazy",
      "--platform",
      "linux/arm64",
      "--profile",
      "oci",
    ];
    const { store, registry, pull } = await runFake([...argv, "--plain-http", "--no-index", REFERENCE]);
    assert.equal(store.path, "/s");
    assert.equal(store.options?.profile, "oci");
    assert.equal(registry.plainHttp, true);
    assert.equal(pull.reference, REFERENCE);
    const { pullPolicy, force, buildIndex, materialize, platform, profile } = pull.options ?? {};
    assert.deepEqual(
      { pullPolicy, force, buildIndex, materialize, platform, profile },
      { pullPolicy: "always", force: true, buildIndex: false, materialize: "lazy", platform: "linux/arm64", profile: "oci" },
    );
  });

  test("run() passes budgets, limits and registry options to the API", async () => {
    const argv = [
      "pull",
      "--max-bytes",
      "20GB",
      "--min-free",
      "1GiB",
      "--workers",
      "3",
      "--durability",
      "barrier",
      "--keep-blobs",
      "--insecure",
    ];
    const more = ["--anonymous", "--hosts-dir", "/", "--hosts-dir", "/etc", "--limit", "layerBytes=1KiB", "--limit", "imageLayers=7"];
    const { store, registry, pull } = await runFake([...argv, ...more, REFERENCE]);
    const { maxBytes, minFreeBytes, workers } = store.options ?? {};
    assert.deepEqual([maxBytes, minFreeBytes, workers], [20e9, 1024 ** 3, 3]);
    const { insecure, keepBlobs, credentials, hostDirectories, limits } = registry;
    assert.deepEqual([insecure, keepBlobs, credentials, hostDirectories], [true, true, "anonymous", ["/", "/etc"]]);
    assert.deepEqual(limits, { layerBytes: 1024, imageLayers: 7 });
    assert.equal(pull.options?.durability, "barrier");
  });

  for (const command of ["pull", "prefetch"]) {
    test(`\`shale ${command}\` passes the options for fetching layers to the API, and sets none by default`, async () => {
      const plain = (await runFake([command, REFERENCE])).registry;
      const flags = ["--http2", "--parallel-ranges", "3", "--parallel-min", "1MiB", "--allow-foreign-layers", "--require-proof"];
      const asked = (await runFake([command, ...flags, REFERENCE])).registry;
      const chosen = ({ http2, parallelRanges, allowForeignLayers, requireProof }: typeof asked): readonly unknown[] => {
        return [http2, parallelRanges, allowForeignLayers, requireProof];
      };
      assert.deepEqual(chosen(plain), [false, undefined, false, false]);
      assert.deepEqual(chosen(asked), [true, { count: 3, minBytes: 1024 ** 2 }, true, true]);
      const { registry } = await runFake([command, "--parallel-ranges", "8", REFERENCE]);
      assert.deepEqual(registry.parallelRanges, { count: 8, minBytes: undefined });
    });
  }

  test("run() adds a lease and a pin while the image is open", async () => {
    const { calls } = await runFake(["pull", "--lease", "sandbox-42", "--lease-ttl", "90s", "--pin", REFERENCE]);
    assert.deepEqual(calls.slice(0, 5), ["openStore", "pull", "lease sandbox-42 90000", `pin ${IMAGE.reference}`, "image closed"]);
  });

  test("run() writes with --json, without a terminal, warnings as JSON lines and no progress", async () => {
    const events = [
      { kind: "resolving", reference: REFERENCE },
      { kind: "warning", code: "NOT_CACHED", message: "\u001b[2J" },
    ] as const;
    const { stderr } = await runFake(["pull", "--json", REFERENCE], { events });
    assert.deepEqual(
      stderr
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
      [{ warning: { code: "NOT_CACHED", message: "\u001b[2J" } }],
    );
    assert.match(stderr, /^[\x20-\x7e]+\n$/);
  });

  test("run() leaves the defaults of options that are not given to the API", async () => {
    const { registry, pull } = await runFake(["pull", REFERENCE]);
    const { pullPolicy, force, buildIndex, materialize, platform, profile } = pull.options ?? {};
    assert.equal(registry.plainHttp, false);
    assert.deepEqual([pullPolicy, platform, profile], [undefined, undefined, undefined]);
    assert.deepEqual([force, buildIndex, materialize], [false, true, "eager"]);
  });

  for (const [why, env, path] of [
    ["SHALE_STORE", { SHALE_STORE: "/a", XDG_CACHE_HOME: "/b", HOME: "/c" }, "/a"],
    ["XDG_CACHE_HOME", { SHALE_STORE: "", XDG_CACHE_HOME: "/b", HOME: "/c" }, "/b/shale"],
    ["HOME, because XDG_CACHE_HOME is relative", { XDG_CACHE_HOME: "b", HOME: "/c" }, "/c/.cache/shale"],
    ["HOME", { HOME: "/c" }, "/c/.cache/shale"],
  ] as const) {
    test(`run() takes the store from ${why} without --store`, async () => {
      assert.equal((await runFake(["pull", REFERENCE], { env })).store.path, path);
    });
  }
});

describe("run() with an error", () => {
  const failure = new ShaleError("IMAGE_NOT_FOUND", "no \u001b[2Jsuch\nimage", { reference: REFERENCE });

  test("run() writes code and message on one escaped line, and closes all handles", async () => {
    const { exitCode, stdout, stderr, calls } = await runFake(["pull", REFERENCE], { failure });
    assert.equal(exitCode, 3);
    assert.equal(stdout, "");
    assert.match(stderr, /^shale: IMAGE_NOT_FOUND: [\x20-\x7e]+\n$/);
    assert.deepEqual(calls, ["openStore", "pull", "registry closed", "store closed"]);
  });

  test("run() writes an error with --json as one JSON line on standard error", async () => {
    const { exitCode, stdout, stderr } = await runFake(["pull", "--json", REFERENCE], { failure });
    assert.deepEqual([exitCode, stdout], [3, ""]);
    assert.match(stderr, /^[\x20-\x7e]+\n$/);
    const { error } = JSON.parse(stderr) as { error: { code: string; detail: unknown; exitCode: number } };
    assert.deepEqual([error.code, error.detail, error.exitCode], ["IMAGE_NOT_FOUND", { reference: REFERENCE }, 3]);
  });

  test("run() reports an error without a code as INTERNAL, with its stack only under SHALE_DEBUG", async () => {
    const plain = await runFake(["pull", REFERENCE], { failure: new Error("oops") });
    assert.deepEqual([plain.exitCode, plain.stderr], [1, "shale: INTERNAL: oops\n"]);
    const debug = await runFake(["pull", REFERENCE], { failure: new Error("oops"), env: { SHALE_DEBUG: "1" } });
    assert.ok(debug.stderr.split("\n").length > 3);
  });

  test("run() returns 130 after an interruption, whatever error the pull throws", async () => {
    const signal = AbortSignal.abort(new Error("interrupted"));
    const { exitCode, stderr, calls } = await runFake(["pull", REFERENCE], { signal, failure: new Error("read aborted") });
    assert.equal(exitCode, 130);
    assert.match(stderr, /^shale: INTERRUPTED: /);
    assert.deepEqual(calls.slice(-2), ["registry closed", "store closed"]);
  });

  for (const argv of [
    [],
    ["push", "x"],
    ["--quiet"],
    ["pull"],
    ["pull", "a", "b"],
    ["pull", "--no-such", "a"],
    ["pull", "--store"],
    ["pull", "--store=", "a"],
    ["pull", "--force=yes", "a"],
    ["pull", "--policy", "sometimes", "a"],
    ["pull", "--profile", "zip", "a"],
    ["pull", "--lease-ttl", "1h", "a"],
    ["pull", "--max-bytes", "much", "a"],
    ["pull", "--workers", "0", "a"],
    ["pull", "--workers", "65", "a"],
    ["pull", "--parallel-ranges", "1", "a"],
    ["pull", "--parallel-ranges", "9", "a"],
    ["pull", "--parallel-min", "1MiB", "a"],
    ["pull", "--hosts-dir", "/no/such/directory", "a"],
    ["pull", "--ca"],
    ["inspect", "--raw", "--quiet", "a"],
    ["lease"],
    ["lease", "list"],
    ["pull", "--limit", "layerBytes", "a"],
    ["pull", "--ca", "/no/such/file", "a"],
    ["pull", ""],
    ["ls"],
    ["rootfs", "a"],
    ["rootfs", "a", "b", "--mode", "link", "--fallback"],
    ["completion", "tcsh"],
    ["fsck", "--quick", "--full", "--store", "/s"],
    ["help", "push"],
  ]) {
    test(`run() ends with 2 and asks the API nothing: ${["shale", ...argv].join(" ")}`, async () => {
      const { exitCode, stdout, stderr, calls } = await runFake(argv);
      assert.equal(exitCode, argv[0] === "fsck" ? 16 : 2);
      assert.equal(stdout, "");
      assert.match(stderr, /^shale: USAGE: /);
      assert.deepEqual(calls, []);
    });
  }

  test("run() escapes what the user typed", async () => {
    const { stderr } = await runFake(["pull", "--policy", "\u001b[2J", "a"]);
    assert.match(stderr, /^[\x20-\x7e\n]+$/);
  });
});

describe("run() with help and version", () => {
  for (const argv of [["--help"], ["-h"], ["help"]]) {
    test(`run() lists the commands: ${argv.join(" ")}`, async () => {
      const { exitCode, stdout, stderr } = await runFake(argv);
      assert.deepEqual([exitCode, stderr], [0, ""]);
      assert.match(stdout, /^ {2}pull /m);
    });
  }

  for (const argv of [
    ["pull", "--help"],
    ["pull", "-h", "ignored", "too"],
    ["help", "pull"],
  ]) {
    test(`run() shows the command's help: ${argv.join(" ")}`, async () => {
      const { exitCode, stdout, calls } = await runFake(argv);
      assert.deepEqual([exitCode, calls], [0, []]);
      assert.equal(stdout, (await runFake(["help", "pull"])).stdout);
      assert.match(stdout, /^ {2}shale pull /m);
    });
  }

  test("run() prints the version", async () => {
    const { exitCode, stdout } = await runFake(["--version"]);
    assert.deepEqual([exitCode, stdout], [0, "1.2.3\n"]);
  });
});
