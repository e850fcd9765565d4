/** Every hostile layer. Each is generated, so the repository contains no binary file. */
import type { HostileCase } from "./case.ts";
import { FRAMING } from "./cases/framing.ts";
import { HEADERS } from "./cases/headers.ts";
import { LINKS } from "./cases/links.ts";
import { PATHS } from "./cases/paths.ts";
import { WHITEOUTS } from "./cases/whiteouts.ts";

export const CORPUS: readonly HostileCase[] = [...PATHS, ...LINKS, ...WHITEOUTS, ...HEADERS, ...FRAMING];
