/** A containerd of its own for each run: one that ran before would find the content of earlier pulls. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { end } from "../../test/support/docker-registry.ts";

export interface Daemon extends AsyncDisposable {
  readonly pid: number;
}

const PATIENCE_MS = 20_000;

/** Serves on `containerd.sock` in the directory, where all its files are too. */
export async function startContainerd(directory: string): Promise<Daemon> {
  const address = join(directory, "containerd.sock");
  const configuration = join(directory, "containerd.toml");
  await mkdir(directory, { recursive: true });
  // without the plugin for Kubernetes, which takes no part in a pull
  const lines = [
    "version = 2",
    `root = "${directory}/root"`,
    `state = "${directory}/state"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
  ];
  await writeFile(configuration, `${lines.join("\n")}\n[grpc]\naddress = "${address}"\n`);
  const child = spawn("containerd", ["--config", configuration], { stdio: "ignore" });
  for (const deadline = Date.now() + PATIENCE_MS; !existsSync(address); await delay(50)) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error("start containerd: it does not answer");
  }
  return { pid: child.pid!, [Symbol.asyncDispose]: () => end(child) };
}
