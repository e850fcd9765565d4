/** House rules that the linter has no rule for: text that must not stand in the sources. */
import { readSources, report } from "./project.ts";
import type { Sources } from "./project.ts";

interface Rule {
  readonly pattern: RegExp;
  readonly why: string;
  /** Only files below this folder; default: all. */
  readonly below?: string;
  /** Not files below this one. */
  readonly except?: string;
}

const RULES: readonly Rule[] = [
  {
    pattern: /\bmessage\.(?:startsWith|endsWith|includes|match|indexOf|search)\(|\bmessage === "/,
    why: "tells errors apart by their message; use the code",
    below: "src/",
  },
  {
    pattern: /\b(?:test|it|describe|suite)\.(?:only|skip|todo)\b|\b(?:only|skip|todo): (?:true|["'`])/,
    why: "runs not every test",
    below: "test/",
  },
  {
    pattern: /\binstanceof (?:Error|ShaleError|Promise)\b/,
    why: "is false for objects of another realm (Jest's vm contexts); use isError, isErrno or ShaleError.is",
    below: "src/",
  },
  { pattern: /^export \*/, why: "exports without naming what" },
  { pattern: /^\s*(?:export )?(?:const )?enum \w/, why: "is an enum; use a union of literals" },
  {
    pattern: /^\s+private (?:readonly |static |async |get |set )*(?!constructor\b)\w+[(:=?!<;]/,
    why: "is private to the compiler only; use #",
  },
  { pattern: /^(?:export )?let /, why: "is state of the module; it belongs to a handle", below: "src/" },
  {
    pattern: /\bjoin\([\w.#]*\blayout(?:\.\w+)*, ["'`]|\{[\w.#]*\blayout\.\w+\}\/\w|\[a-z2-7\]\{/,
    why: "makes or matches a path of a store; add it to src/store/layout.ts",
    below: "src/",
    except: "src/store/",
  },
  { pattern: /^(?:export )?let /, why: "is state of the module; it belongs to a handle", below: "format/" },
];

/** One finding a broken rule, as `path:line: what it does`. */
export function checkPatterns(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => text.split("\n").flatMap((line, at) => findInLine(line, `${path}:${at + 1}`, path)));
}

function findInLine(line: string, place: string, path: string): string[] {
  const broken = RULES.filter(
    ({ pattern, below = "", except }) => path.startsWith(below) && !(except && path.startsWith(except)) && pattern.test(line),
  );
  return broken.map(({ why }) => `${place}: ${why}`);
}

if (import.meta.main) {
  const sources = await readSources(["src", "format", "tools", "test"], ".ts");
  // these tests contain what the rules forbid
  const excepted = ["test/tools/check-patterns.test.ts", "test/tools/run-tests.test.ts"];
  report("patterns", checkPatterns(new Map([...sources].filter(([path]) => !excepted.includes(path)))));
}
