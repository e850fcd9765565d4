import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ShaleError } from "../../src/errors.ts";
import { formatReference, parseReference } from "../../src/image/reference.ts";
import { finishes } from "../support/finishes.ts";

const HEX = "0123456789abcdef".repeat(4);
const DIGEST = `sha256:${HEX}`;

/** Texts and their parsed references. */
const GOOD: readonly (readonly [string, string])[] = [
  ["alpine", "docker.io/library/alpine:latest"],
  ["alpine:3.20", "docker.io/library/alpine:3.20"],
  ["library/alpine", "docker.io/library/alpine:latest"],
  ["someone/app", "docker.io/someone/app:latest"],
  ["docker.io/alpine", "docker.io/library/alpine:latest"],
  ["index.docker.io/alpine", "docker.io/library/alpine:latest"],
  ["registry-1.docker.io/library/alpine", "docker.io/library/alpine:latest"],
  ["docker://ghcr.io/a/b/c:1", "ghcr.io/a/b/c:1"],
  ["GHCR.io/a/b", "ghcr.io/a/b:latest"],
  ["Registry/a", "Registry/a:latest"],
  ["LOCALHOST/a", "localhost/a:latest"],
  ["localhost", "docker.io/library/localhost:latest"],
  ["localhost/x", "localhost/x:latest"],
  ["localhost:5000/x:t", "localhost:5000/x:t"],
  ["host:5000", "docker.io/library/host:5000"],
  ["host:5000/x", "host:5000/x:latest"],
  ["127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"],
  ["[::1]:5000/x", "[::1]:5000/x:latest"],
  ["[2001:DB8::1]/x:1", "[2001:db8::1]/x:1"],
  [`alpine@${DIGEST}`, `docker.io/library/alpine@${DIGEST}`],
  [`alpine:3.20@${DIGEST}`, `docker.io/library/alpine:3.20@${DIGEST}`],
  [`localhost:5000/x@${DIGEST}`, `localhost:5000/x@${DIGEST}`],
  [`x@sha512:${HEX}${HEX}`, `docker.io/library/x@sha512:${HEX}${HEX}`],
  ["a__b/c--d/e.f_g", "docker.io/a__b/c--d/e.f_g:latest"],
  [`x:${"t".repeat(128)}`, `docker.io/library/x:${"t".repeat(128)}`],
  [`x.y/${"n".repeat(251)}`, `x.y/${"n".repeat(251)}:latest`],
  ["oci:/srv/images", "oci:/srv/images"],
  ["oci:images:1.0", "oci:/srv/images:1.0"],
  ["oci:../images", "oci:/images"],
  ["oci:images:docker.io/library/alpine:3", "oci:/srv/images:docker.io/library/alpine:3"],
  [`oci:images@${DIGEST}`, `oci:/srv/images@${DIGEST}`],
  ["oci-archive:x.tar", "oci-archive:/srv/x.tar"],
  ["oci-archive:x.tar:1.0", "oci-archive:/srv/x.tar:1.0"],
  [`oci-archive:/x.tar@${DIGEST}`, `oci-archive:/x.tar@${DIGEST}`],
  ["oci-archive:-:1.0", "oci-archive:-:1.0"],
  ["docker-archive:x.tar:app:1.0", "docker-archive:/srv/x.tar:app:1.0"],
  ["docker-archive:-", "docker-archive:-"],
];

const BAD: readonly string[] = [
  "",
  " ",
  "Alpine",
  "a/B",
  "alpine ",
  "alp\nine",
  "al\0pine",
  ":tag",
  "x:",
  "x:.t",
  "x:-t",
  `x:${"t".repeat(129)}`,
  "/x",
  "x/",
  "a//b",
  "a/../b",
  "-a",
  "a-",
  "a___b",
  "a..b/c",
  "localhost:5000/",
  "localhost:0/x",
  "localhost:65536/x",
  "localhost:port/x",
  "ho_st.x/y",
  "-host.x/y",
  "host-.x/y",
  "[::1]",
  "[fc00::1]",
  "[fc00::1]:5000",
  "[fe80::1%eth0]:5000/x",
  "[fe80::1%25eth0]/x",
  "[::g]/x",
  "[::1/x",
  "::1/x",
  `x@sha256:${HEX.slice(1)}`,
  `x@sha256:${HEX.toUpperCase()}`,
  "x@md5:d41d8cd98f00b204e9800998ecf8427e",
  "x@sha256:../../etc/passwd",
  `x@${DIGEST}@${DIGEST}`,
  "x@",
  `@${DIGEST}`,
  HEX,
  `x.y/${"n".repeat(252)}`,
  "x".repeat(5000),
  "https://ghcr.io/x",
  "http://localhost/x",
  "file:///etc/passwd",
  "docker://",
  "docker:alpine/",
  "oci:",
  "oci::tag",
  "oci:dir:",
  "oci:dir:bad tag",
  "oci:d\0r",
  "oci-archive:",
  "docker-archive::tag",
  "oci-archive:x.tar:bad tag",
  "oci:dir@sha256:1234",
  "docker-archive:x\0.tar",
  "docker-daemon:x:latest",
  "containers-storage:x",
  "dir:/tmp/x",
  "exämple.com/x",
];

for (const [text, canonical] of GOOD) {
  test(`\`parseReference()\` reads ${JSON.stringify(text.slice(0, 60))} as ${JSON.stringify(canonical.slice(0, 60))}`, () => {
    const reference = parseReference(text, { cwd: "/srv" });
    assert.equal(formatReference(reference), canonical);
    assert.deepEqual(parseReference(canonical), reference);
  });
}

for (const text of BAD) {
  test(`\`parseReference()\` refuses ${JSON.stringify(text.slice(0, 60))}`, () => {
    assert.throws(
      () => parseReference(text, { cwd: "/srv" }),
      (error: unknown) => ShaleError.is(error, "REFERENCE_INVALID") && error.detail.reference === text.slice(0, 4096),
    );
  });
}

test("`parseReference()` separates tag and digest, and needs no tag beside a digest", () => {
  assert.deepEqual(parseReference(`a/b:1@${DIGEST}`), {
    transport: "docker",
    registry: "docker.io",
    repository: "a/b",
    tag: "1",
    digest: DIGEST,
  });
  assert.deepEqual(parseReference(`a/b@${DIGEST}`), { transport: "docker", registry: "docker.io", repository: "a/b", digest: DIGEST });
});

test("`parseReference()` shows no control characters of a refused text", () => {
  assert.throws(
    () => parseReference("a\u001b[2Jb\u202e"),
    (error: unknown) => error instanceof ShaleError && !error.message.includes("\u001b") && !error.message.includes("\u202e"),
  );
});

test("`parseReference()` returns a reference that formats and parses to itself, or throws REFERENCE_INVALID, for any text", () => {
  const piece = fc.constantFrom(
    "a",
    "B",
    "0",
    "-",
    "_",
    ".",
    "/",
    ":",
    "@",
    "[",
    "]",
    "::1",
    "localhost",
    "oci:",
    DIGEST,
    "docker://",
    "%",
    "\0",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      try {
        const reference = parseReference(pieces.join(""), { cwd: "/srv" });
        assert.deepEqual(parseReference(formatReference(reference)), reference);
      } catch (error) {
        if (!ShaleError.is(error, "REFERENCE_INVALID")) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

test("`parseReference()` takes time proportional to the text", () => {
  for (const text of [
    "a-".repeat(2000),
    "a".repeat(4000),
    "-".repeat(4000),
    `x:${"a.".repeat(2000)}`,
    "a_".repeat(2000),
    "a.b".repeat(1300),
  ]) {
    finishes(() => assert.throws(() => parseReference(text), { code: "REFERENCE_INVALID" }));
  }
});
