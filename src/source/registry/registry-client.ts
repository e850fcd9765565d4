/** Requests to the hosts of a registry: mirrors, authorization, redirects, retries, and errors by status. */
import { ShaleError } from "../../errors.ts";
import type { RegistryReference } from "../../image/reference.ts";
import { abortable } from "../abortable.ts";
import type { Authorizer } from "../auth/authorizer.ts";
import { parseChallenges } from "../auth/challenge.ts";
import { invalidFile } from "../configuration-file.ts";
import { Failover } from "../hosts/failover.ts";
import { findHosts, HOST_DIRECTORIES } from "../hosts/find-hosts.ts";
import { apiUrl, type Host } from "../hosts/host.ts";
import { sendFollowing } from "../http/follow-redirects.ts";
import type { HttpClient, HttpRequest, HttpResponse } from "../http/http-client.ts";
import { retry, type RetryPolicy, type RetryTarget } from "../http/retry.ts";
import { statusError, type StatusContext } from "../http/status-error.ts";
import type { SourceOptions } from "../source.ts";

/** The part of RegistrySourceOptions that is about hosts. */
export interface HostOptions {
  readonly plainHttp?: boolean | readonly string[] | undefined;
  readonly insecure?: boolean | readonly string[] | undefined;
  readonly ca?: string | readonly string[] | undefined;
  readonly hostDirectories?: readonly string[] | undefined;
}

export interface RegistryRequest<T> extends StatusContext {
  readonly reference: RegistryReference;
  /** The capability that the host must have. */
  readonly needs: "resolves" | "pulls";
  readonly method?: "HEAD";
  /** Relative to the repository: `manifests/latest`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Statuses that `read` handles; all others are errors. */
  readonly accepted: readonly number[];
  readonly options: SourceOptions;
  readonly read: (response: HttpResponse, host: Host) => Promise<T>;
}

export class RegistryClient {
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

  /** Asks the hosts in turn. If all fail, throws the error of the registry itself, or the last mirror's if the registry was not asked. */
  async send<T>(request: RegistryRequest<T>): Promise<T> {
    const { options, needs, reference } = request;
    const hosts = (await this.hostsOf(reference.registry)).filter((host) => host[needs]);
    if (hosts.length === 0) throw invalidFile("hosts.toml", `names no host of "${reference.registry}" that ${needs} images`);
    const order = this.#failover.order(hosts, options.avoid);
    let ownError: ShaleError | undefined;
    const targets = order.map((host): RetryTarget<T> => ({
      host: host.base.host,
      ...(host.mirror && order.length > 1 && { tries: 1 }),
      attempt: async () => this.#attempt(request, host),
      onFailed: (error) => {
        if (!host.mirror) ownError ??= error;
        if (error.code === "REGISTRY_UNREACHABLE") this.#failover.pause(host);
      },
    }));
    try {
      return await retry(targets, { policy: this.#policy, signal: options.signal, onEvent: options.onEvent });
    } catch (error) {
      options.signal?.throwIfAborted();
      throw ShaleError.is(error) ? (ownError ?? error) : error;
    }
  }

  /** Answers a 401 of the host itself once; a 401 of another origin, or a second one, is an error. */
  async #attempt<T>(request: RegistryRequest<T>, host: Host): Promise<T> {
    const { repository } = request.reference;
    const { signal } = request.options;
    const known = this.#authorizer.current(host, repository);
    let response = await this.#sendTo(host, request, known);
    if (response.status === 401 && response.url.origin === host.base.origin) {
      const challenges = parseChallenges(response.headers("www-authenticate"));
      response.body.discard();
      const renewed = await abortable(this.#authorizer.renew(host, repository, { challenges, rejected: known }), signal);
      response = await this.#sendTo(host, request, renewed);
    }
    if (!request.accepted.includes(response.status)) throw await statusError(response, request);
    return request.read(response, host);
  }

  #sendTo<T>(host: Host, { reference, path, method, headers, options }: RegistryRequest<T>, authorization?: string): Promise<HttpResponse> {
    const sent: HttpRequest = {
      url: apiUrl(host, reference, path),
      method: method ?? "GET",
      headers: { "accept-encoding": "identity", ...headers, ...host.headers, ...(authorization !== undefined && { authorization }) },
      signal: options.signal,
      tls: host.tls,
      connectTimeout: host.connectTimeout,
    };
    return sendFollowing(this.#client, sent);
  }

  /** In the order to ask, the registry itself last. Read once per registry; a failure is not cached. */
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
