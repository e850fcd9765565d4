/**
 * Worker threads for work that would block the event loop. The pool's owner names the workers' module, which calls `serveWorker` with its
 * services. Workers start at the first task and do not keep the process alive while idle.
 */
import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { parentPort, receiveMessageOnPort, Worker, workerData, type MessagePort, type Transferable } from "node:worker_threads";
import { type ErrorCode, isError, messageOf, ShaleError } from "../errors.ts";
// its koffi calls must run before a worker reports that it is loaded: see Loaded
import "./syscalls.ts";

interface Request {
  readonly id: number;
  /** `service/name`. */
  readonly kind: string;
  readonly payload: unknown;
}

/** Services to load in advance; not answered. */
interface Preload {
  readonly preload: readonly string[];
}

type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly failure: Failure };

/** An error as data, since structured cloning drops its class, code and detail. */
export interface Failure {
  readonly message: string;
  readonly stack?: string | undefined;
  readonly shale: boolean;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly cause?: Failure;
}

export interface TaskOptions {
  readonly transfer?: readonly Transferable[];
  /** Which worker: index modulo the pool's size. Default: the one with the fewest tasks. */
  readonly worker?: number;
}

/**
 * Three semi-spaces of 4 MiB. V8 would let them grow to 16 MiB each, which costs page faults and a hundred megabytes without benefit for
 * short-lived objects.
 */
const YOUNG_GENERATION_MB = 12;

/**
 * A worker must not be terminated while it loads: a native module (koffi's) whose initialization is interrupted aborts the process. Each worker
 * sets this flag when its native modules are loaded. `close` and the exit of the process wait for it.
 */
type Loaded = Int32Array<SharedArrayBuffer>;

/** The flags of all running workers. */
const flags: Set<Loaded> = new Set();

/** Maximum ms that the exit of a process waits for a worker that loads; loading takes about 100 ms. */
const LOADING_MS = 5000;

function awaitLoading(): void {
  for (const loaded of flags) Atomics.wait(loaded, 0, 0, LOADING_MS);
}

interface Member {
  readonly worker: Worker;
  readonly loaded: Loaded;
  readonly pending: Map<number, { resolve: (value: never) => void; reject: (error: unknown) => void }>;
}

/** What one kind of task takes and returns. Both are cloned between threads. */
export interface Task<Request, Result> {
  readonly request: Request;
  readonly result: Result;
}

/** Kinds of tasks, by `service/name`. */
export type TaskMap<Tasks> = { readonly [Kind in keyof Tasks]: Task<unknown, unknown> };

/** A pool whose workers serve `Tasks`. */
export class WorkerPool<Tasks extends TaskMap<Tasks>> {
  readonly size: number;
  readonly #module: URL;
  readonly #members: (Member | undefined)[];
  readonly #onLost: (error: ShaleError<"WORKER_FAILED">) => void;
  #nextId = 1;
  #closed = false;

  /** `onLost` is called once for each worker that died, after its tasks have failed; not for workers that `close` ends. */
  constructor(module: URL, options: { size: number; onLost?: (error: ShaleError<"WORKER_FAILED">) => void }) {
    this.#module = module;
    this.#onLost = options.onLost ?? (() => {});
    this.size = options.size;
    this.#members = Array.from({ length: options.size });
  }

  /** Starts every worker now, so that they load themselves and these services while the caller does other work. */
  warm(services: readonly ServiceName<keyof Tasks>[] = []): void {
    for (let index = 0; index < this.size; index++) this.#member(index).worker.postMessage({ preload: services } satisfies Preload);
  }

  /** Runs a handler of the workers' module. A worker that dies fails its tasks with WORKER_FAILED; the next task gets a new one. */
  run<Kind extends keyof Tasks & string>(
    kind: Kind,
    payload: Tasks[Kind]["request"],
    options: TaskOptions = {},
  ): Promise<Tasks[Kind]["result"]> {
    if (this.#closed) return Promise.reject(new TypeError("the worker pool is closed"));
    const member = this.#member(options.worker === undefined ? this.#leastBusy() : options.worker % this.size);
    const request: Request = { id: this.#nextId++, kind, payload };
    return new Promise<Tasks[Kind]["result"]>((resolve, reject) => {
      // posts first: it throws for a payload that cannot be cloned, and then no reply will come
      member.worker.postMessage(request, options.transfer ?? []);
      member.pending.set(request.id, { resolve, reject });
      member.worker.ref();
    });
  }

  /** Ends the workers, each after it has loaded; pending tasks fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#members.map(async (member) => member && end(member)));
  }

  #leastBusy(): number {
    let best = 0;
    const load = (index: number): number => this.#members[index]?.pending.size ?? 0;
    for (let index = 1; index < this.size; index++) if (load(index) < load(best)) best = index;
    return best;
  }

  #member(index: number): Member {
    const present = this.#members[index];
    if (present) return present;
    const loaded = new Int32Array(new SharedArrayBuffer(4));
    if (flags.size === 0) process.on("exit", awaitLoading);
    flags.add(loaded);
    const worker = new Worker(this.#module, {
      workerData: loaded,
      env: environment(),
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    const member: Member = { worker, loaded, pending: new Map() };
    worker.on("message", (reply: Reply) => settle(member, reply));
    worker.on("error", (error) => this.#lost(index, member, error));
    worker.on("exit", (code) => {
      flags.delete(loaded);
      if (flags.size === 0) process.off("exit", awaitLoading);
      this.#lost(index, member, new Error(`worker exited with code ${code}`));
    });
    // after adding the listeners, since a message listener refs the worker
    worker.unref();
    this.#members[index] = member;
    return member;
  }

  #lost(index: number, member: Member, cause: unknown): void {
    if (this.#members[index] !== member) return;
    this.#members[index] = undefined;
    const error = new ShaleError("WORKER_FAILED", "a worker thread died; its work can be tried again", { what: "worker" }, { cause });
    for (const [, { reject }] of member.pending) reject(error);
    member.pending.clear();
    if (!this.#closed) this.#onLost(error);
  }
}

/** Passes this thread's directory of compiled code to its workers, which do not inherit it. */
function environment(): NodeJS.ProcessEnv {
  const directory = getCompileCacheDir();
  return directory === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(directory) };
}

async function end({ worker, loaded }: Member): Promise<void> {
  worker.ref();
  const gone = new Promise((resolve) => worker.once("exit", resolve));
  await Promise.race([Atomics.waitAsync(loaded, 0, 0).value, gone]);
  await worker.terminate();
}

function settle(member: Member, reply: Reply): void {
  const waiter = member.pending.get(reply.id);
  if (!waiter) return;
  member.pending.delete(reply.id);
  if (member.pending.size === 0) member.worker.unref();
  if ("failure" in reply) waiter.reject(revive(reply.failure));
  else waiter.resolve(reply.value as never);
}

export interface Handled<Result> {
  readonly value: Result;
  readonly transfer?: readonly Transferable[];
}

/** Work that a worker does between requests. `step` does a little, or returns false if there was nothing to do. */
export interface Background {
  /** True while there may be work: the worker then polls instead of sleeping in its event loop. */
  readonly active: boolean;
  step(): boolean | Promise<boolean>;
  /** Blocks the thread until something may have changed, for at most some tens of milliseconds. */
  wait(): void;
}

/** One handler for each kind. */
export type Handlers<Tasks extends TaskMap<Tasks>> = {
  readonly [Kind in keyof Tasks]: (
    request: Tasks[Kind]["request"],
  ) => Handled<Tasks[Kind]["result"]> | Promise<Handled<Tasks[Kind]["result"]>>;
};

/** The tasks of one service in a worker. */
export interface Service<Tasks extends TaskMap<Tasks>> {
  readonly handlers: Handlers<Tasks>;
  readonly background?: Background;
}

/** The part of a kind before the slash. */
export type ServiceName<Kind> = Kind extends `${infer Name}/${string}` ? Name : never;

type ServiceOf<Tasks extends TaskMap<Tasks>, Name extends string> = Service<Pick<Tasks, Extract<keyof Tasks, `${Name}/${string}`>>>;

/** Each service is loaded at its first request, so that a worker loads only what it needs. */
export type Services<Tasks extends TaskMap<Tasks>> = {
  readonly [Name in ServiceName<keyof Tasks>]: () => Promise<ServiceOf<Tasks, Name>>;
};

/** A service as the dispatcher sees it: the request's kind selects the handler, which knows the payload's type. */
interface AnyService {
  readonly handlers: Readonly<Record<string, (payload: never) => Handled<unknown> | Promise<Handled<unknown>>>>;
  readonly background?: Background;
}

type AnyServices = Readonly<Record<string, () => Promise<AnyService>>>;

/**
 * Serves requests one after the other, and runs the background work between them. A service that cannot be loaded ends the worker; the next
 * worker starts anew.
 */
export async function serveWorker<Tasks extends TaskMap<Tasks>>(services: Services<Tasks>): Promise<never> {
  const port = parentPort;
  if (!port) throw new TypeError("serveWorker runs in a worker thread");
  Atomics.store(workerData as Loaded, 0, 1);
  Atomics.notify(workerData as Loaded, 0);
  const loaded = new LoadedServices(services);
  const inbox: (Request | Preload)[] = [];
  let wake: () => void = () => {};
  port.on("message", (message: Request | Preload) => {
    inbox.push(message);
    wake();
  });
  for (;;) {
    for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port)) inbox.push(next.message as Request | Preload);
    const message = inbox.shift();
    if (message && "preload" in message) for (const name of message.preload) await loaded.get(name);
    else if (message) await answer(port, message, (await loaded.get(message.kind.slice(0, message.kind.indexOf("/"))))?.handlers);
    else if (!loaded.background?.active) await new Promise<void>((resolve) => (wake = resolve));
    else if (!(await loaded.background.step())) loaded.background.wait();
  }
}

class LoadedServices {
  readonly #services: AnyServices;
  readonly #loaded = new Map<string, AnyService>();
  /** At most one service has it. */
  background: Background | undefined;

  constructor(services: AnyServices) {
    this.#services = services;
  }

  async get(name: string): Promise<AnyService | undefined> {
    const known = this.#loaded.get(name);
    if (known) return known;
    const service = await this.#services[name]?.();
    if (!service) return undefined;
    this.#loaded.set(name, service);
    this.background ??= service.background;
    return service;
  }
}

async function answer(port: MessagePort, request: Request, handlers: AnyService["handlers"] | undefined): Promise<void> {
  try {
    const handler = handlers?.[request.kind];
    if (!handler) throw new TypeError(`no handler for ${request.kind}`);
    const { value, transfer } = await handler(request.payload as never);
    port.postMessage({ id: request.id, value } satisfies Reply, transfer ?? []);
  } catch (error) {
    port.postMessage({ id: request.id, failure: pack(error) } satisfies Reply);
  }
}

/** For an error that crosses threads; `revive` is its inverse. */
export function pack(error: unknown): Failure {
  if (!isError(error)) return { message: messageOf(error), shale: false, fields: {} };
  const { code, errno, syscall, path, detail } = error as NodeJS.ErrnoException & { detail?: unknown };
  const fields = Object.fromEntries(Object.entries({ code, errno, syscall, path, detail }).filter(([, value]) => value !== undefined));
  const failure: Failure = { message: error.message, stack: error.stack, shale: ShaleError.is(error), fields };
  return error.cause === undefined ? failure : { ...failure, cause: pack(error.cause) };
}

export function revive(failure: Failure): Error {
  const options = failure.cause ? { cause: revive(failure.cause) } : {};
  if (failure.shale)
    return new ShaleError(failure.fields["code"] as ErrorCode, failure.message, failure.fields["detail"] as never, options);
  const error = Object.assign(new Error(failure.message, options), failure.fields);
  if (failure.stack) error.stack = failure.stack;
  return error;
}
