import { linkSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno } from "../errors.ts";
import { makeDirectory } from "./make-directory.ts";

/** Links another name to a file; false if the name exists. Creates the parent directory. */
export function linkIfAbsent(from: string | Buffer, to: string): boolean {
  try {
    return link(from, to);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    makeDirectory(dirname(to));
    return link(from, to);
  }
}

function link(from: string | Buffer, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}
