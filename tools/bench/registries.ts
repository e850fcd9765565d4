/** Debian's docker-registry, twice over one storage: plain, and with TLS for the peer that speaks nothing else. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeAuthority } from "../../test/support/certificates.ts";
import { pushLayout, startDockerRegistry } from "../../test/support/docker-registry.ts";
import { run } from "../../test/support/run.ts";
import { CACHE, type BenchImage } from "./images.ts";
import { blobPath, readLayers } from "./layout.ts";

/** An image as it is served. */
export interface ServedImage extends BenchImage {
  readonly reference: string;
  /** The same by TLS. */
  readonly secureReference: string;
  /** By plain HTTP, bottom to top, parted by spaces. */
  readonly urls: string;
  /** The layers in the layout, bottom to top. */
  readonly blobs: readonly string[];
}

export interface Registries extends AsyncDisposable {
  readonly pids: readonly number[];
  /** A file: certificates of this machine's authorities, and of the one that vouches for the TLS registry. */
  readonly authorities: string;
  readonly images: readonly ServedImage[];
}

/** `work` is a directory of this run; the registry's storage is kept for the next. */
export async function startRegistries(images: readonly BenchImage[], work: string): Promise<Registries> {
  const storage = join(CACHE, "registry");
  await mkdir(storage, { recursive: true });
  const authority = await makeAuthority("shale benchmark");
  const tls = await authority.issue("IP:127.0.0.1");
  const plain = await startDockerRegistry({ storage });
  const secure = await startDockerRegistry({ storage, tls });
  const authorities = join(work, "authorities.pem");
  await writeFile(authorities, authority.cert);
  const served: ServedImage[] = [];
  for (const image of images) {
    const reference = await pushLayout(image, plain, { repository: "bench", tag: image.tag });
    const layers = await readLayers(image);
    served.push({
      ...image,
      reference,
      secureReference: reference.replace(plain.host, secure.host),
      urls: layers.map(({ digest }) => `http://${plain.host}/v2/bench/blobs/${digest}`).join(" "),
      blobs: layers.map(({ digest }) => blobPath(image, digest)),
    });
  }
  return {
    pids: [plain.pid, secure.pid],
    authorities,
    images: served,
    [Symbol.asyncDispose]: async () => {
      await plain[Symbol.asyncDispose]();
      await secure[Symbol.asyncDispose]();
    },
  };
}

/** Reads the blobs once, so that the registry serves them from memory. */
export async function warm(image: ServedImage): Promise<void> {
  for (const url of image.urls.split(" ")) await run("curl", ["--silent", "--fail", "--output", "/dev/null", url]);
}
