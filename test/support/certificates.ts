/** A certificate authority of one's own, by openssl. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./run.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export interface Certificate {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

export interface Authority extends Certificate {
  /** For these addresses (`IP:127.0.0.1`, `DNS:registry.test`), which may be none for a client's. */
  readonly issue: (...names: readonly string[]) => Promise<Certificate>;
}

const KEY: readonly string[] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export async function makeAuthority(name: string): Promise<Authority> {
  await using directory = await temporaryDirectory();
  const authority = await request(directory.path, ["-x509", "-days", "2", "-subj", `/CN=${name}`]);
  return { ...authority, issue: (...names) => issue(authority, names) };
}

async function issue(authority: Certificate, names: readonly string[]): Promise<Certificate> {
  await using directory = await temporaryDirectory();
  const [ca, caKey] = [join(directory.path, "ca.pem"), join(directory.path, "ca-key.pem")];
  await Promise.all([writeFile(ca, authority.cert), writeFile(caKey, authority.key)]);
  const alternatives = names.length === 0 ? [] : ["-addext", `subjectAltName=${names.join(",")}`];
  // openssl takes it for another authority else, and rustls refuses such a server
  const leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
  const subject = ["-x509", "-days", "2", "-subj", "/CN=shale test"];
  return await request(directory.path, [...subject, "-CA", ca, "-CAkey", caKey, ...leaf, ...alternatives]);
}

async function request(directory: string, options: readonly string[]): Promise<Certificate> {
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  await run("openssl", ["req", ...KEY, ...options, "-keyout", key, "-out", cert]);
  const [keyText, certText] = await Promise.all([readFile(key, "utf8"), readFile(cert, "utf8")]);
  return { key: keyText, cert: certText };
}
