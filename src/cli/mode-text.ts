/** File attributes in the form of `ls -l`. */
import type { FileKind } from "../index.ts";

const LETTERS: Readonly<Record<FileKind, string>> = {
  file: "-",
  directory: "d",
  symlink: "l",
  char: "c",
  block: "b",
  fifo: "p",
  socket: "s",
};

const SETUID = 0o4000;
const SETGID = 0o2000;
const STICKY = 0o1000;

/** `-rwsr-xr-x` */
export function modeText(kind: FileKind, mode: number): string {
  const bits = ["r", "w", "x", "r", "w", "x", "r", "w", "x"].map((letter, at) => (mode & (0o400 >> at) ? letter : "-"));
  const special = (at: number, flag: number, letter: string): void => {
    if (mode & flag) bits[at] = bits[at] === "x" ? letter : letter.toUpperCase();
  };
  special(2, SETUID, "s");
  special(5, SETGID, "s");
  special(8, STICKY, "t");
  return `${LETTERS[kind]}${bits.join("")}`;
}

/** `2026-11-23 16:58:33`, in UTC; `@SECONDS` if a Date cannot represent it. */
export function timeText(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `@${seconds}` : date.toISOString().slice(0, 19).replace("T", " ");
}
