/** nginx in front of a docker-registry: it answers blobs by a redirect to a host of its own that serves the registry's files. */
import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Certificate } from "./certificates.ts";
import { answers, end, freePort, type DockerRegistry } from "./docker-registry.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export interface Nginx extends AsyncDisposable {
  /** The registry, with TLS. */
  readonly host: string;
  /** Where it sends those who want a blob. */
  readonly blobHost: string;
  /** Of the blob host, a line a request: method, status, bytes of body, Range, Authorization, path with query, protocol; `-` for none. */
  readonly blobLog: () => Promise<readonly string[]>;
}

export async function startNginx(registry: DockerRegistry, tls: Certificate): Promise<Nginx> {
  const directory = await temporaryDirectory();
  const file = (name: string): string => join(directory.path, name);
  const [host, blobHost] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  await Promise.all([writeFile(file("cert.pem"), tls.cert), writeFile(file("key.pem"), tls.key), mkdir(file("temp"))]);
  await writeFile(file("nginx.conf"), configuration(file, { host, blobHost, registry }));
  const child = spawn("nginx", ["-p", directory.path, "-c", file("nginx.conf"), "-e", file("error.log")], { stdio: "ignore" });
  const deadline = Date.now() + 20_000;
  while (!(await answers(`https://${host}/v2/`))) {
    if (child.exitCode === null && Date.now() < deadline) await delay(50);
    else throw new Error(`start nginx on ${host}: it does not answer; it said: ${await readFile(file("error.log"), "utf8")}`);
  }
  return {
    host,
    blobHost,
    blobLog: async () => (await readFile(file("blobs.log"), "utf8")).split("\n").filter((line) => line !== ""),
    [Symbol.asyncDispose]: async () => {
      await end(child);
      await directory[Symbol.asyncDispose]();
    },
  };
}

interface Hosts {
  readonly host: string;
  readonly blobHost: string;
  readonly registry: DockerRegistry;
}

function configuration(file: (name: string) => string, { host, blobHost, registry }: Hosts): string {
  const tls = `ssl_certificate ${file("cert.pem")}; ssl_certificate_key ${file("key.pem")};`;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${file("temp")}/${name};`);
  return `
    daemon off; master_process off; user root; pid ${file("pid")};
    events {}
    http {
      ${temporary.join("\n      ")}
      log_format blobs '$request_method $status $body_bytes_sent "$http_range" "$http_authorization" $request_uri $server_protocol';
      server {
        listen ${host} ssl http2; ${tls}
        access_log off;
        location ~ ^/v2/.*/blobs/(sha256:[0-9a-f]+)$ { return 307 https://${blobHost}/data/$1?signature=secret; }
        location / { proxy_pass http://${registry.host}; proxy_set_header Host $http_host; }
      }
      server {
        listen ${blobHost} ssl http2; ${tls}
        access_log ${file("blobs.log")} blobs;
        location ~ ^/data/sha256:(..)(.*)$ { alias ${registry.storage}/docker/registry/v2/blobs/sha256/$1/$1$2/data; }
      }
    }
  `;
}
