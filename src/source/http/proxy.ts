/** Chooses the proxy of a request from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as curl and Go programs do. */
import { BlockList, isIP } from "node:net";
import { isPrivateAddress } from "./private-address.ts";

/** Returns the proxy for a URL; undefined for a direct connection. */
export type ProxyFor = (url: URL) => URL | undefined;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Lower-case variables take precedence; ALL_PROXY is the default of both. NO_PROXY lists names (subdomains included; with a leading dot
 * only the subdomains), addresses and networks (`10.0.0.0/8`), names and addresses optionally with a port, or `*`. Requests to this machine use no proxy.
 */
export function proxyFromEnvironment(env: Environment): ProxyFor {
  const read = (name: string): string => env[name.toLowerCase()] || env[name] || "";
  const proxies = new Map(
    ["http:", "https:"].map((protocol) => [
      protocol,
      parseProxy(read(`${protocol.slice(0, -1).toUpperCase()}_PROXY`) || read("ALL_PROXY")),
    ]),
  );
  const exceptions = read("NO_PROXY")
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .map(parseException);
  return (url) => {
    const proxy = proxies.get(url.protocol);
    if (proxy === undefined || isThisMachine(url.hostname)) return undefined;
    return exceptions.some((matches) => matches(url)) ? undefined : proxy;
  };
}

/** `host:port` means http. The error does not quote the text, which may contain a password. */
function parseProxy(text: string): URL | undefined {
  if (text === "") return undefined;
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url !== null && /^(?:https?|socks5?):$/.test(url.protocol)) return url;
  throw new TypeError("HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is not the URL of a proxy; expected one such as http://proxy.example.com:3128");
}

function parseException(entry: string): (url: URL) => boolean {
  if (entry === "*") return () => true;
  const network = /^([0-9a-fA-F.:]+)\/([0-9]{1,3})$/.exec(entry);
  if (network !== null) return inNetwork(network[1] ?? "", Number(network[2]));
  const match = /^(\[[^\]]+\]|[^:]+|[0-9a-fA-F:]+)(?::([0-9]+))?$/.exec(entry.toLowerCase());
  const [, name = "", port] = match ?? [];
  const bare = bareAddress(name).replace(/^\*?\./, "");
  const subdomainsOnly = name.startsWith(".") || name.startsWith("*.");
  return (url) => {
    const host = bareAddress(url.hostname);
    if (port !== undefined && port !== (url.port || (url.protocol === "https:" ? "443" : "80"))) return false;
    return (host === bare && !subdomainsOnly) || (isIP(host) === 0 && host.endsWith(`.${bare}`));
  };
}

function inNetwork(address: string, prefix: number): (url: URL) => boolean {
  const family = isIP(address);
  if (family === 0 || prefix > (family === 4 ? 32 : 128)) return () => false;
  const list = new BlockList();
  list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
  return ({ hostname }) => {
    const host = bareAddress(hostname);
    return isIP(host) !== 0 && list.check(host, isIP(host) === 4 ? "ipv4" : "ipv6");
  };
}

function isThisMachine(hostname: string): boolean {
  const host = bareAddress(hostname);
  return host === "localhost" || host.endsWith(".localhost") || host === "::1" || (host.startsWith("127.") && isPrivateAddress(host));
}

function bareAddress(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}
