/**
 * Pulls from an image layout with all of shale loaded in a `node:vm` context, as Jest and vitest load modules: the context has classes
 * of its own (`Error`, `Promise`), and Node's own errors are not instances of them. Run it with --experimental-vm-modules; the arguments are
 * the layout and the store. Prints a JSON object of what happened.
 */
import { readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { fileURLToPath } from "node:url";
import * as vm from "node:vm";

const [layout = "", store = ""] = process.argv.slice(2);
const own = new Set([...Object.getOwnPropertyNames(vm.runInNewContext("globalThis")), "globalThis", "global"]);
const globals = Object.getOwnPropertyNames(globalThis).filter((name) => !own.has(name));
const context = vm.createContext(Object.fromEntries(globals.map((name) => [name, (globalThis as Record<string, unknown>)[name]])));
const modules = new Map<string, Promise<vm.Module>>();

function load(url: string): Promise<vm.Module> {
  const module = modules.get(url) ?? create(url);
  modules.set(url, module);
  return module;
}

async function create(url: string): Promise<vm.Module> {
  if (!url.startsWith("file:") || url.includes("/node_modules/")) {
    const exports = (await import(url)) as Record<string, unknown>;
    const names = Object.keys(exports);
    const set = function (this: vm.SyntheticModule): void {
      for (const name of names) this.setExport(name, exports[name]);
    };
    return new vm.SyntheticModule(names, set, { identifier: url, context });
  }
  return new vm.SourceTextModule(await readFile(fileURLToPath(url), "utf8"), {
    identifier: url,
    context,
    initializeImportMeta: (meta) => Object.assign(meta, { url, resolve: (specifier: string) => resolve(specifier, url) }),
    importModuleDynamically: async (specifier: string) => evaluated(resolve(specifier, url)),
  });
}

function resolve(specifier: string, from: string): string {
  if (isBuiltin(specifier)) return specifier;
  return /^[./]/.test(specifier) ? new URL(specifier, from).href : import.meta.resolve(specifier);
}

async function evaluated(url: string): Promise<vm.Module> {
  const module = await load(url);
  if (module.status === "unlinked") await module.link((specifier, { identifier }) => load(resolve(specifier, identifier)));
  await module.evaluate();
  return module;
}

const script = `async (shale, layout, store) => {
  const codeOf = (promise) => promise.then(() => "none", (error) => (shale.ShaleError.is(error) ? error.code : String(error)));
  const opened = await shale.openStore(store);
  const reject = () => Promise.reject(new Error("callback"));
  const registry = new shale.Registry({ store: opened });
  const image = await registry.pull("oci:" + layout, { onProgress: reject });
  const layers = image.layers.length;
  await image.close();
  const missing = await codeOf(registry.pull("oci:" + layout + "-missing"));
  const never = await codeOf(registry.pull("oci:" + layout + ":other", { pullPolicy: "never" }));
  const aborted = await registry.pull("oci:" + layout + ":other", { signal: AbortSignal.abort() }).then(String, (error) => error.name);
  await registry.close();
  await opened.close();
  return JSON.stringify({ layers, missing, never, aborted });
}`;
const unhandled: string[] = [];
process.on("unhandledRejection", (reason) => void unhandled.push(String(reason)));
const { namespace } = await evaluated(new URL("../../src/index.js", import.meta.url).href);
const run = vm.runInContext(script, context) as (shale: object, layout: string, store: string) => Promise<string>;
const outcome = JSON.parse(await run(namespace, layout, store)) as Record<string, unknown>;
console.log(JSON.stringify({ ...outcome, unhandled }));
