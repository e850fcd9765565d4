const { readFileSync } = process.getBuiltinModule("node:fs");

const BOOT_ID: RegExp = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Returns the kernel's boot_id, which differs for each boot. */
export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

export function isBootId(text: string): boolean {
  return BOOT_ID.test(text);
}
