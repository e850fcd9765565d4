/** Runtime dependencies: each has its row in docs/dependencies.md, and no row is without a dependency. */
import { readProjectFile, report } from "./project.ts";

/** `manifest` is the text of package.json; rows of `docs` begin with the package's name in backquotes. */
export function checkDependencies(manifest: string, docs: string): string[] {
  const { dependencies = {} } = JSON.parse(manifest) as { dependencies?: Record<string, string> };
  const names = Object.keys(dependencies);
  const documented = [...docs.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] ?? "");
  return [
    ...names.filter((name) => !documented.includes(name)).map((name) => `docs/dependencies.md: ${name} has no row`),
    ...documented.filter((name) => !names.includes(name)).map((name) => `docs/dependencies.md: ${name} is not a dependency`),
  ];
}

if (import.meta.main) {
  report("dependencies", checkDependencies(await readProjectFile("package.json"), await readProjectFile("docs/dependencies.md")));
}
