/** Requests to a registry with everything around them: hosts and mirrors, authorization, redirects, tries, errors. */
import type { ShaleError } from "../../errors.ts";
import type { RegistryReference } from "../../image/reference.ts";
import type { Authorizer } from "../auth/authorizer.ts";
import { parseChallenges } from "../auth/challenge.ts";
import { invalidFile } from "../configuration-file.ts";
import { Failover } from "../hosts/failover.ts";
import { findHosts, HOST_DIRECTORIES } from "../hosts/find-hosts.ts";
import { apiUrl, type Host } from "../hosts/host.ts";
import type { HttpClient, HttpRequest, HttpResponse } from "../http/http-client.ts";
import { sendFollowing } from "../http/follow-redirects.ts";
import { statusError, type StatusContext } from "../http/status-error.ts";
import { retry, type RetryPolicy } from "../http/retry.ts";
import type { SourceOptions } from "../source.ts";

/** What RegistrySourceOptions says of hosts. */
export interface HostOptions {
  readonly plainHttp?: boolean | readonly string[] | undefined;
  readonly insecure?: boolean | readonly string[] | undefined;
  readonly ca?: string | readonly string[] | undefined;
  readonly hostDirectories?: readonly string[] | undefined;
}

export interface Call<T> extends StatusContext {
  readonly reference: RegistryReference;
  /** What the host must be good for. */
  readonly needs: "resolves" | "pulls";
  readonly method?: "HEAD";
  /** Below the repository: `manifests/latest`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly accepted: readonly number[];
  readonly options: SourceOptions;
  readonly read: (response: HttpResponse, host: Host) => Promise<T>;
}

export class HostCalls {
  readonly #client: HttpClient;
  readonly #authorizer: Authorizer;
  readonly #policy: RetryPolicy;
  readonly #options: HostOptions;
  readonly #failover: Failover = new Failover();
  readonly #hosts: Map<string, Promise<readonly Host[]>> = new Map();

  constructor(client: HttpClient, authorizer: Authorizer, options: HostOptions & { readonly policy: RetryPolicy }) {
    this.#client = client;
    this.#authorizer = authorizer;
    this.#policy = options.policy;
    this.#options = options;
  }

  async send<T>(call: Call<T>): Promise<T> {
    const { options, needs, reference } = call;
    const hosts = (await this.hostsOf(reference.registry)).filter((host) => host[needs]);
    if (hosts.length === 0) throw invalidFile("hosts.toml", `names no host of "${reference.registry}" that ${needs} images`);
    return this.#failover.run(hosts, options, (host, others) => {
      const policy = host.mirror && others ? { ...this.#policy, tries: 1 } : this.#policy;
      return retry({ policy, signal: options.signal, onRetry: retryTeller(options, () => host.base.host) }, async () => {
        const response = await this.#sendAuthorized(call, host);
        if (!call.accepted.includes(response.status)) throw await statusError(response, call);
        return call.read(response, host);
      });
    });
  }

  /** A 401 of the host itself is answered once; of any other origin, or again, it stands. */
  async #sendAuthorized<T>({ reference, path, method, headers, options }: Call<T>, host: Host): Promise<HttpResponse> {
    const { repository } = reference;
    const { signal } = options;
    const { tls, connectTimeout } = host;
    const request: HttpRequest = {
      url: apiUrl(host, reference, path),
      method: method ?? "GET",
      headers: { "accept-encoding": "identity", ...headers, ...host.headers },
      signal,
      tls,
      connectTimeout,
    };
    const send = (authorization: string | undefined): Promise<HttpResponse> =>
      sendFollowing(this.#client, authorization === undefined ? request : { ...request, headers: { ...request.headers, authorization } });
    const tried = this.#authorizer.current(host, repository);
    const response = await send(tried);
    if (response.status !== 401 || response.url.origin !== host.base.origin) return response;
    const challenges = parseChallenges(response.headers("www-authenticate"));
    response.body.discard();
    const renewed = this.#authorizer.renew(host, repository, { challenges, rejected: tried });
    return send(await abortable(renewed, signal));
  }

  /** In the order to ask, the registry itself last. Read once; a failure is not remembered. */
  hostsOf(registry: string): Promise<readonly Host[]> {
    const known = this.#hosts.get(registry);
    if (known !== undefined) return known;
    const { plainHttp, insecure, ca = [], hostDirectories = HOST_DIRECTORIES } = this.#options;
    const hosts = findHosts(registry, {
      directories: hostDirectories,
      isPlain: (host) => includesHost(plainHttp, host),
      isInsecure: (host) => includesHost(insecure, host),
      ca: [ca].flat(),
    });
    this.#hosts.set(registry, hosts);
    hosts.catch(() => this.#hosts.delete(registry));
    return hosts;
  }
}

function includesHost(hosts: boolean | readonly string[] | undefined, host: string): boolean {
  return typeof hosts === "object" ? hosts.includes(host) : hosts === true;
}

export function retryTeller({ onEvent }: SourceOptions, host: () => string): ((error: ShaleError, delayMs: number) => void) | undefined {
  return onEvent && (({ code, message }, delayMs) => onEvent({ kind: "retrying", host: host(), code, message, delayMs }));
}

/** What others wait for too is not ended by one signal; the wait is. */
async function abortable<T>(shared: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return shared;
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  // the race first of all: a failure of what is shared must have somebody who waits for it
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([shared, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
