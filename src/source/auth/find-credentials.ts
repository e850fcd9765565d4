/** Finds credentials in the files of the containers tools, then Docker's, and in the helpers that these name. */
import { homedir } from "node:os";
import { join } from "node:path";
import { CredentialFile } from "./credential-file.ts";
import { askHelper, type HelperOptions } from "./credential-helper.ts";
import { readConfiguration, readRequiredConfiguration } from "../configuration-file.ts";
import type { Credentials, CredentialsProvider } from "./credentials.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads only `REGISTRY_AUTH_FILE` if that is set; otherwise the containers tools' auth.json in the run-time directory, then in the
 * configuration directory, then Docker's config.json. Searches each file for the registry's helper, the default helper, and the entry with the
 * longest matching key. Reads the files at each call, so that a new `docker login` counts.
 *
 * The provider rejects with CONFIGURATION_INVALID or CREDENTIAL_HELPER_FAILED.
 */
export function findCredentials(env: Environment = process.env, helper: HelperOptions = {}): CredentialsProvider {
  return async (host, repository) => {
    for await (const file of credentialFiles(env)) {
      const found = await findInFile(file, { host, repository, helper: { env, ...helper } });
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

async function* credentialFiles(env: Environment): AsyncGenerator<CredentialFile> {
  const chosen = env["REGISTRY_AUTH_FILE"];
  if (chosen !== undefined && chosen !== "") {
    yield new CredentialFile(chosen, await readRequiredConfiguration(chosen));
    return;
  }
  for (const path of usualPaths(env)) {
    const bytes = await readConfiguration(path);
    if (bytes !== undefined) yield new CredentialFile(path, bytes);
  }
}

function usualPaths(env: Environment): readonly string[] {
  const home = env["HOME"] || homedir();
  const runtime = env["XDG_RUNTIME_DIR"] || `/run/containers/${process.getuid?.() ?? 0}`;
  const configuration = env["XDG_CONFIG_HOME"] || join(home, ".config");
  const docker = env["DOCKER_CONFIG"] || join(home, ".docker");
  const containers = "containers/auth.json";
  // without XDG_RUNTIME_DIR the containers tools use no subdirectory of their own
  const atRunTime = env["XDG_RUNTIME_DIR"] ? join(runtime, containers) : join(runtime, "auth.json");
  return [atRunTime, join(configuration, containers), join(docker, "config.json")];
}

async function findInFile(
  file: CredentialFile,
  { host, repository, helper }: { host: string; repository: string; helper: HelperOptions },
): Promise<Credentials | undefined> {
  for (const name of file.helpers(host)) {
    const found = await askHelper(name, host, helper);
    if (found !== undefined) return found;
  }
  return file.find(host, repository);
}
