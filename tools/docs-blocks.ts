/** Code blocks of Markdown pages, and how they are made to run here: see docs/README.md. */

export interface Block {
  /** What stands after the opening fence. */
  readonly language: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
  readonly code: string;
}

/** What the names in the pages stand for while the blocks run. */
export interface Surroundings {
  /** For `/var/lib/shale`. */
  readonly store: string;
  /** For the registries docker.io and registry.example.com, by plain HTTP. */
  readonly registry: string;
  /** For the registry private.example.com, which asks for a password. */
  readonly privateRegistry: string;
}

/** Fenced blocks, in order. A fence that is never closed ends with the page. */
export function extractBlocks(page: string): Block[] {
  const blocks: Block[] = [];
  let open: { language: string; line: number; code: string[] } | undefined;
  for (const [index, text] of page.split("\n").entries()) {
    const fence = /^```(.*)$/.exec(text);
    if (open === undefined) {
      if (fence) open = { language: fence[1]?.trim() ?? "", line: index + 1, code: [] };
    } else if (text === "```") {
      blocks.push({ ...open, code: open.code.join("\n") });
      open = undefined;
    } else {
      open.code.push(text);
    }
  }
  return open === undefined ? blocks : [...blocks, { ...open, code: open.code.join("\n") }];
}

/** The block as it runs here. A registry is spoken to by plain HTTP unless the block says what it wants. */
export function adaptBlock(code: string, { store, registry, privateRegistry }: Surroundings): string {
  const placed = code
    .replaceAll("/var/lib/shale", store)
    .replaceAll("private.example.com", privateRegistry)
    .replaceAll(/registry\.example\.com|docker\.io(?=\/)/g, registry);
  const inTypeScript = placed.includes("plainHttp") ? placed : placed.replaceAll("new Registry({", "new Registry({ plainHttp: true,");
  return inTypeScript.replaceAll(/^shale pull (?!.*--plain-http)/gm, "shale pull --plain-http ");
}

/** The commands of a shell block, without comments. */
export function shellCommands(code: string): string[] {
  const lines = code.replaceAll("\\\n", " ").split("\n");
  return lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
}
