/**
 * Resolves the user of a container: the `User` of an image config, looked up in the image's own /etc/passwd and /etc/group as Docker does.
 * The users of the host are not consulted.
 */
import { ShaleError } from "../errors.ts";
import { quote } from "../image/document.ts";

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** From passwd; undefined for a number that passwd does not contain. */
  readonly home: string | undefined;
}

export interface UserFiles {
  /** The contents of /etc/passwd and /etc/group of the image; undefined if the file is missing. */
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

/** The largest id of Linux: the next one, -1, means "leave unchanged". */
const MAX_ID: number = 2 ** 32 - 2;
/** NGROUPS_MAX, the limit of supplementary groups. */
const MAX_GROUPS = 65_536;
const USER: RegExp = /^([^\p{Cc}:]{1,256})(?::([^\p{Cc}:]{1,256}))?$/u;

/**
 * Accepts `user`, `uid`, `user:group`, `uid:gid`, `user:gid` and `uid:group`; "" is root. A number needs no entry. Without a group, the group
 * is that of passwd, or 0, and the user's supplementary groups are added.
 * @throws CONFIG_INVALID for another form, USER_NOT_FOUND for a name that the image does not define
 */
export function resolveUser(text: string, files: UserFiles): ContainerUser {
  const parts = USER.exec(text === "" ? "0" : text);
  if (!parts) throw new ShaleError("CONFIG_INVALID", `the user ${quote(text)} is malformed; expected USER, UID, USER:GROUP or UID:GID`, {});
  const [, name = "", group] = parts;
  const uid = parseId(name);
  const entry = find(files.passwd, 7, (fields) => (uid === undefined ? fields[0] === name : parseId(fields[2]) === uid));
  if (uid === undefined && !entry) throw notFound("user", name, "/etc/passwd");
  const home = entry?.[5] === undefined || entry[5] === "" ? undefined : entry[5];
  const own = { uid: uid ?? idOf(entry, 2, name), home: home?.startsWith("/") ? home : undefined };
  if (group !== undefined) return { ...own, gid: resolveGroup(group, files), additionalGids: [] };
  return { ...own, gid: entry ? idOf(entry, 3, name) : 0, additionalGids: entry ? groupsOf(entry[0]!, files) : [] };
}

/** @throws USER_NOT_FOUND */
function resolveGroup(text: string, { group }: UserFiles): number {
  const gid = parseId(text);
  if (gid !== undefined) return gid;
  const entry = find(group, 4, (fields) => fields[0] === text);
  if (!entry) throw notFound("group", text, "/etc/group");
  return idOf(entry, 2, text);
}

function groupsOf(user: string, { group }: UserFiles): number[] {
  const gids = new Set<number>();
  for (const fields of entries(group, 4)) {
    const gid = parseId(fields[2]);
    if (gid !== undefined && gids.size < MAX_GROUPS && fields[3]?.split(",").includes(user)) gids.add(gid);
  }
  return [...gids];
}

function find(file: string | undefined, columns: number, matches: (fields: readonly string[]) => boolean): readonly string[] | undefined {
  for (const fields of entries(file, columns)) if (matches(fields)) return fields;
  return undefined;
}

/** Skips lines without a user or a number, as the C library does. Missing fields at the end of a line are empty. */
function* entries(file: string | undefined, columns: number): Generator<readonly string[]> {
  for (const line of (file ?? "").split("\n")) {
    const fields = line.trim().split(":", columns);
    if (fields[0] !== "" && !fields[0]!.startsWith("#") && parseId(fields[2]) !== undefined) yield fields;
  }
}

function idOf(entry: readonly string[] | undefined, column: number, name: string): number {
  const id = parseId(entry?.[column]);
  if (id !== undefined) return id;
  throw new ShaleError("USER_NOT_FOUND", `the image gives no valid number for ${quote(name)}; use a UID and GID instead`, { user: name });
}

function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

function notFound(what: string, name: string, file: string): ShaleError<"USER_NOT_FOUND"> {
  return new ShaleError("USER_NOT_FOUND", `the image's ${file} has no ${what} ${quote(name)}; use a number instead`, { user: name });
}
