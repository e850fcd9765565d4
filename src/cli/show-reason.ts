/** Describes in a few words what keeps an image. */
import { assertNever } from "../errors.ts";
import type { Reason } from "../index.ts";
import { showAge, showMessage, showUntil } from "./show.ts";

export function showReason(reason: Reason, now: number): string {
  switch (reason.kind) {
    case "reference":
      return `reference ${showMessage(reason.reference)} (${showMessage(reason.platform)})`;
    case "pin":
      return `pin of ${showMessage(reason.reference)} (${showMessage(reason.platform)})`;
    case "lease":
      return `lease ${showMessage(JSON.stringify(reason.name))}${reason.expires === undefined ? "" : `, expires ${showUntil(reason.expires, now)}`}`;
    case "young":
      return `used ${showAge(reason.lastUse, now)}`;
    case "mount":
      return `mounted (tree ${showMessage(reason.treeId)})`;
    case "handle":
      return "in use by a process";
    case "pull":
      return "needed by a running pull";
    default:
      return assertNever(reason);
  }
}

/** What keeps an image besides this reference: `pin, mount, 2 leases`; empty if nothing does. */
export function showKeepers(reasons: readonly Reason[], name: { readonly reference: string; readonly platform: string }): string {
  const leases = reasons.filter(({ kind }) => kind === "lease").length;
  const pinned = reasons.some(
    (reason) => reason.kind === "pin" && reason.reference === name.reference && reason.platform === name.platform,
  );
  const mounted = reasons.some(({ kind }) => kind === "mount");
  return [
    ...(pinned ? ["pin"] : []),
    ...(mounted ? ["mount"] : []),
    ...(leases === 0 ? [] : [leases === 1 ? "lease" : `${leases} leases`]),
  ].join(", ");
}
