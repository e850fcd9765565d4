/** What the figures depend on. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { run } from "../../test/support/run.ts";

/** Cores, memory, kernel and the file system that a directory is on. */
export async function describeMachine(directory: string): Promise<string> {
  const fileSystem = (await run("stat", ["--file-system", "--format=%T", directory])).toString().trim();
  const model = cpus()[0]?.model.trim() ?? "";
  const memory = `${(totalmem() / 1024 ** 3).toFixed(0)} GiB`;
  return `${availableParallelism()} cores (${model}), ${memory}; Linux ${/^\d+\.\d+/.exec(release())?.[0] ?? ""}; ${fileSystem === "ext2/ext3" ? "ext4" : fileSystem}`;
}

const VERSIONS: Readonly<Record<string, readonly string[]>> = {
  containerd: ["--version"],
  podman: ["--version"],
  skopeo: ["--version"],
  umoci: ["--version"],
  curl: ["--version"],
  tar: ["--version"],
  "docker-registry": ["--version"],
  cargo: ["--version"],
};

/** Programs that are not there are left out. */
export async function describeSoftware(): Promise<string> {
  const lines = await Promise.all(
    Object.entries(VERSIONS).map(async ([program, args]) => {
      const text = await run(program, args).then(
        (output) => output.toString(),
        () => "",
      );
      const version = /\d+\.\d+[\w.~+-]*/.exec(text)?.[0];
      return version === undefined ? [] : [`${program} ${version}`];
    }),
  );
  const system = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  return [`Node ${process.versions.node}`, ...lines.flat(), system].join(", ");
}
