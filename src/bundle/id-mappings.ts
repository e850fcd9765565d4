/** Maps the ids of a user namespace to the ids of this machine. */
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { isErrno } from "../errors.ts";

export interface IdMapping {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}

export interface IdMappings {
  readonly uids: readonly IdMapping[];
  readonly gids: readonly IdMapping[];
}

/** Maps root to this process's user, and the other ids to the user's subordinate ids (/etc/subuid, /etc/subgid), which newuidmap(1) permits. */
export function ownMappings(): IdMappings {
  const { uid, gid, username } = userInfo();
  return {
    uids: [{ containerId: 0, hostId: uid, size: 1 }, ...subordinate("/etc/subuid", [username, String(uid)])],
    gids: [{ containerId: 0, hostId: gid, size: 1 }, ...subordinate("/etc/subgid", [username, String(uid)])],
  };
}

export function isMapped(id: number, mappings: readonly IdMapping[]): boolean {
  return mappings.some(({ containerId, size }) => id >= containerId && id < containerId + size);
}

function subordinate(path: string, names: readonly string[]): IdMapping[] {
  let next = 1;
  return linesOf(path).flatMap((line) => {
    const [name = "", first, size] = line.split(":");
    if (!names.includes(name) || !/^\d+$/.test(first ?? "") || !/^[1-9]\d*$/.test(size ?? "")) return [];
    const mapping = { containerId: next, hostId: Number(first), size: Number(size) };
    next += mapping.size;
    return [mapping];
  });
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return [];
    throw error;
  }
}
