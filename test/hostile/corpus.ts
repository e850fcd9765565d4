/** Every hostile layer, made anew each time: no binary file is kept. */
import type { HostileCase } from "./case.ts";
import { FRAMING } from "./cases/framing.ts";
import { HEADERS } from "./cases/headers.ts";
import { LINKS } from "./cases/links.ts";
import { PATHS } from "./cases/paths.ts";
import { WHITEOUTS } from "./cases/whiteouts.ts";

export const CORPUS: readonly HostileCase[] = [...PATHS, ...LINKS, ...WHITEOUTS, ...HEADERS, ...FRAMING];
