/** What is measured beside shale, and how each is driven. */
import { join } from "node:path";
import { PROJECT } from "../project.ts";
import { startContainerd, type Daemon } from "./containerd.ts";
import { buildCrate } from "./crate.ts";
import { isOnPath } from "./processes.ts";
import type { ServedImage } from "./registries.ts";
import type { PeerFacts } from "./result.ts";

/**
 * Scripts are for bash. `$DIR` is a directory that nothing has used, `$REF` the reference, `$TLS_REF` the same by TLS, `$URLS` the
 * layers' URLs, `$AUTHORITIES` the certificates to trust.
 */
export interface Peer {
  readonly name: string;
  readonly programs: readonly string[];
  readonly pull: string;
  /** Forgets the image `$REF` and frees all that it took. */
  readonly remove?: string;
  /** It keeps each layer's blob in a file until the layer is unpacked. */
  readonly spools?: boolean;
  /** It only unpacks, and keeps nothing to share or to remove. */
  readonly floor?: boolean;
  /** The file to run, where it is not on the PATH. */
  readonly program?: string;
  readonly daemon?: (directory: string) => Promise<Daemon>;
  readonly missing?: string;
}

export const SHALE: string = join(PROJECT, "dist/src/cli/main.js");
export const STORE_CHILD: string = join(PROJECT, "dist/tools/bench/store-child.js");

const PEER_NAMES = ["shale", "shale (TLS)", "microsandbox-image", "containerd", "podman", "skopeo + umoci", "curl | gunzip | tar"] as const;

/** Those whose name is in `wanted` (all, if it is empty); some of them with the reason why they cannot run. */
export async function choosePeers(wanted: readonly string[]): Promise<readonly Peer[]> {
  const unknown = wanted.find((name) => name !== "floor" && !PEER_NAMES.some((known) => known === name));
  if (unknown !== undefined) throw new RangeError(`measure "${unknown}": the peers are ${PEER_NAMES.join(", ")}, floor`);
  const names = PEER_NAMES.filter((name) => wanted.length === 0 || wanted.includes(name));
  const peers: Peer[] = [];
  for (const name of names) peers.push(name === "microsandbox-image" ? await cratePeer() : { name, ...PEERS[name] });
  return peers.map((peer) => {
    const absent = peer.programs.filter((program) => !isOnPath(program));
    return absent.length > 0 ? { ...peer, missing: `${absent.join(" and ")} not installed` } : peer;
  });
}

export function peerFacts({ name, missing }: Peer): PeerFacts {
  return missing === undefined ? { name } : { name, missing };
}

export function pullEnvironment(image: ServedImage, directory: string, authorities: string): Record<string, string> {
  const { reference, secureReference, urls } = image;
  const programs = { NODE: process.execPath, SHALE, STORE_CHILD };
  return { ...programs, DIR: directory, REF: reference, TLS_REF: secureReference, URLS: urls, AUTHORITIES: authorities };
}

const PODMAN = 'podman --root "$DIR/root" --runroot "$DIR/run" --storage-driver overlay';
const CTR = 'ctr --address "$DIR/containerd.sock" image';

type Driver = Omit<Peer, "name">;

const PEERS: Readonly<Record<Exclude<(typeof PEER_NAMES)[number], "microsandbox-image">, Driver>> = {
  shale: {
    programs: [],
    pull: '"$NODE" "$SHALE" pull "$REF" --store "$DIR/store" --plain-http --quiet',
    remove: '"$NODE" "$STORE_CHILD" remove "$DIR/store" "$REF"',
    spools: true,
  },
  "shale (TLS)": {
    programs: [],
    pull: 'NODE_EXTRA_CA_CERTS="$AUTHORITIES" "$NODE" "$SHALE" pull "$TLS_REF" --store "$DIR/store" --quiet',
    remove: '"$NODE" "$STORE_CHILD" remove "$DIR/store" "$TLS_REF"',
    spools: true,
  },
  containerd: {
    programs: ["ctr", "containerd"],
    pull: `${CTR} pull --plain-http "$REF"`,
    remove: `${CTR} rm --sync "$REF"`,
    daemon: startContainerd,
  },
  podman: {
    programs: ["podman"],
    pull: `${PODMAN} pull --quiet --tls-verify=false "$REF"`,
    remove: `${PODMAN} rmi --force "$REF"`,
  },
  "skopeo + umoci": {
    programs: ["skopeo", "umoci"],
    // one layout for all images of a directory: what they share is fetched and kept once
    pull: 'skopeo copy --quiet --insecure-policy --src-tls-verify=false "docker://$REF" "oci:$DIR/layout:${REF##*:}" && umoci unpack --image "$DIR/layout:${REF##*:}" "$DIR/bundle-${REF##*:}"',
    remove: 'umoci rm --image "$DIR/layout:${REF##*:}" && umoci gc --layout "$DIR/layout" && rm -r "$DIR/bundle-${REF##*:}"',
  },
  "curl | gunzip | tar": {
    programs: ["curl", "gunzip", "tar"],
    pull: 'for url in $URLS; do mkdir -p "$DIR/${url##*:}"; curl --silent --fail "$url" | gunzip | tar --extract --numeric-owner --directory "$DIR/${url##*:}"; done',
    remove: 'rm -r "$DIR"/*',
    floor: true,
  },
};

/** It trusts the authorities of the file that SSL_CERT_FILE names. */
async function cratePeer(): Promise<Peer> {
  const { program, missing } = await buildCrate();
  const peer: Peer = {
    name: "microsandbox-image",
    programs: [],
    pull: `SSL_CERT_FILE="$AUTHORITIES" "${program}" "$DIR/cache" "$TLS_REF"`,
  };
  return { ...peer, ...(program !== undefined && { program }), ...(missing !== undefined && { missing }) };
}
