/** Error codes: each one of src/errors.ts is used in src/ and has its row in docs/errors.md, and no row is without a code. */
import { readProjectFile, readSources, report } from "./project.ts";
import type { Sources } from "./project.ts";

const ERRORS = "src/errors.ts";

export interface ErrorCodeInput {
  /** The text of src/errors.ts. */
  readonly errors: string;
  /** The text of docs/errors.md: a table whose rows begin with the code in backquotes. */
  readonly docs: string;
  /** The files of src/. */
  readonly sources: Sources;
}

export function checkErrorCodes({ errors, docs, sources }: ErrorCodeInput): string[] {
  const codes = declaredCodes(errors);
  const documented = [...docs.matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map((match) => match[1] ?? "");
  const used = usedCodes(sources);
  return [
    ...(codes.length === 0 ? [`${ERRORS}: no code found in ErrorDetails`] : []),
    ...codes.filter((code) => !used.has(code)).map((code) => `${ERRORS}: ${code} is used nowhere in src/`),
    ...codes.filter((code) => !documented.includes(code)).map((code) => `docs/errors.md: ${code} has no row`),
    ...documented.filter((code) => !codes.includes(code)).map((code) => `docs/errors.md: ${code} is not in ${ERRORS}`),
    ...documented.filter((code, at) => documented.indexOf(code) !== at).map((code) => `docs/errors.md: ${code} has two rows`),
  ];
}

function declaredCodes(errors: string): string[] {
  const body = /export interface ErrorDetails \{\n(.*?)\n\}/s.exec(errors)?.[1] ?? "";
  return [...body.matchAll(/^ {2}([A-Z0-9_]+):/gm)].map((match) => match[1] ?? "");
}

/** Every upper-case string literal outside src/errors.ts; the compiler sees to it that a code is spelt right. */
function usedCodes(sources: Sources): Set<string> {
  const texts = [...sources].filter(([path]) => path !== ERRORS).map(([, text]) => text);
  return new Set(texts.flatMap((text) => [...text.matchAll(/"([A-Z0-9_]+)"/g)].map((match) => match[1] ?? "")));
}

if (import.meta.main) {
  const [errors, docs, sources] = await Promise.all([
    readProjectFile(ERRORS),
    readProjectFile("docs/errors.md"),
    readSources(["src"], ".ts"),
  ]);
  report("error codes", checkErrorCodes({ errors, docs, sources }));
}
