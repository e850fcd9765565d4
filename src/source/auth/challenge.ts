/** The WWW-Authenticate header: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 */

export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** By name in lower case; the first of a name counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN: RegExp = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68: RegExp = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;
const SPACE: RegExp = /[ \t]*/y;
const SEPARATORS: RegExp = /[ \t,]*/y;
const TO_COMMA: RegExp = /[^,]*/y;

/**
 * The challenges of one header or of several, in order. What is malformed is passed over to the next comma, so that a
 * challenge of a scheme that nobody knows cannot hide one that we can answer. Linear in the length.
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const text = typeof header === "string" ? header : (header ?? []).join(",");
  const scanner = new Scanner(text);
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  for (;;) {
    scanner.take(SEPARATORS);
    if (scanner.atEnd()) return challenges;
    const name = scanner.take(TOKEN).toLowerCase();
    scanner.take(SPACE);
    if (name === "") {
      scanner.take(TO_COMMA);
    } else if (scanner.skip("=")) {
      scanner.take(SPACE);
      const value = scanner.quoted() ?? scanner.take(TOKEN);
      const parameters = challenges.at(-1)?.parameters;
      if (parameters?.has(name) === false) parameters.set(name, value);
      scanner.take(TO_COMMA);
    } else {
      challenges.push({ scheme: name, parameters: new Map() });
      scanner.take(TOKEN68);
    }
  }
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** What the sticky pattern matches here, or nothing. */
  take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  /** The content of a quoted-string; one that never ends goes to the end. Undefined if there is none here. */
  quoted(): string | undefined {
    if (!this.skip('"')) return undefined;
    const parts: string[] = [];
    for (; this.#at < this.#text.length; this.#at++) {
      let character = this.#text.charAt(this.#at);
      if (character === '"') break;
      if (character === "\\") character = this.#text.charAt(++this.#at);
      parts.push(character);
    }
    this.#at++;
    return parts.join("");
  }
}
