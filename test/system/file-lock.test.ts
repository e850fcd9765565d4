import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fstatSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FileLock, type LockMode } from "../../src/system/file-lock.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const MODULE: string = new URL("../../src/system/file-lock.js", import.meta.url).href;

/** Another process that holds a lock until it is killed. */
async function holder(path: string, mode: LockMode): Promise<ChildProcess> {
  const script = `const { FileLock } = await import(${JSON.stringify(MODULE)});
    globalThis.lock = FileLock.try(${JSON.stringify(path)}, ${JSON.stringify(mode)});
    console.log(lock ? "held" : "refused"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  assert.equal(said.toString(), "held\n");
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

test("`FileLock` excludes other processes: shared with shared, nothing with exclusive, and free once the holder is dead", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "lock");
  const shared = await holder(path, "shared");
  const mine = FileLock.try(path, "shared");
  assert.ok(mine);
  assert.equal(FileLock.try(path, "exclusive"), undefined);
  mine.release();
  assert.equal(FileLock.try(path, "exclusive"), undefined);
  await kill(shared);
  const exclusive = await holder(path, "exclusive");
  assert.equal(FileLock.try(path, "shared"), undefined);
  const waiting = FileLock.acquire(path);
  await kill(exclusive);
  (await waiting).release();
  assert.deepEqual(readdirSync(directory.path), ["lock"]);
});

test("`FileLock` excludes within a process too, and release is idempotent", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "lock");
  const first = FileLock.try(path);
  assert.ok(first);
  assert.equal(FileLock.try(path, "shared"), undefined);
  first.release();
  first.release();
  const second = FileLock.try(path);
  assert.ok(second && second.fd >= 0);
  first.release();
  assert.equal(FileLock.try(path), undefined);
  second.release();
  assert.equal(second.fd, -1);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("`FileLock.acquire()` rejects with the signal's reason, before and while it waits", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "lock");
  using held = FileLock.try(path)!;
  void held;
  await assert.rejects(FileLock.acquire(path, { signal: AbortSignal.abort("before") }), (error: unknown) => error === "before");
  const abort = new AbortController();
  let waits = 0;
  const waiting = FileLock.acquire(path, {
    signal: abort.signal,
    onWait: () => {
      if (++waits === 2) abort.abort("while");
    },
  });
  await assert.rejects(waiting, (error: unknown) => error === "while");
});

test("`FileLock` follows no symlink", async () => {
  await using directory = await temporaryDirectory();
  symlinkSync("target", join(directory.path, "lock"));
  assert.throws(() => FileLock.try(join(directory.path, "lock")), { code: "ELOOP" });
});

test("`FileLock.acquire()` lets eight waiters through many rounds, none of them starving", { timeout: 30_000 }, async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "lock");
  let inside = 0;
  const worker = async (): Promise<void> => {
    for (let round = 0; round < 10; round++) {
      using lock = await FileLock.acquire(path);
      void lock;
      assert.equal(++inside, 1);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
});

test("`FileLock.tryExclusive()` takes a shared lock for itself only when nobody else has it, and keeps it either way", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "lock");
  using lock = FileLock.try(path, "shared")!;
  {
    using other = FileLock.try(path, "shared");
    assert.ok(other);
    assert.equal(lock.tryExclusive(), false);
    assert.equal(FileLock.try(path), undefined);
  }
  assert.equal(lock.tryExclusive(), true);
  assert.equal(FileLock.try(path, "shared"), undefined);
  lock.share();
  using again = FileLock.try(path, "shared");
  assert.ok(again);
});

test("`FileLock#delete()` deletes the file, and processes that had it open lock the file that they make again", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "lock");
  for (let round = 0; round < 20; round++) {
    const first = FileLock.try(path);
    assert.ok(first);
    const waiting = [FileLock.acquire(path), FileLock.acquire(path)];
    first.delete();
    const second = await Promise.race(waiting);
    assert.equal(FileLock.try(path), undefined, "the lock is held under its name");
    assert.equal(fstatSync(second.fd).ino, statSync(path).ino);
    second.release();
    for (const lock of await Promise.all(waiting)) lock.release();
  }
});

test("`FileLock.try()` does not return a lock on a file that was deleted after it was opened", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "lock");
  const script = `const { FileLock } = await import(${JSON.stringify(MODULE)});
    const counts = { held: 0, stale: 0 };
    const { fstatSync } = await import("node:fs");
    for (const end = Date.now() + 1000; Date.now() < end; ) {
      const lock = FileLock.try(${JSON.stringify(path)});
      if (!lock) continue;
      counts.held++;
      if (fstatSync(lock.fd).nlink === 0) counts.stale++;
      lock.delete();
    }
    console.log(JSON.stringify(counts));`;
  const outputs = [1, 2].map(async () => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const [output] = (await once(child.stdout, "data")) as [Buffer];
    return JSON.parse(output.toString()) as { held: number; stale: number };
  });
  for (const { held, stale } of await Promise.all(outputs)) {
    assert.ok(held > 0);
    assert.equal(stale, 0);
  }
});
