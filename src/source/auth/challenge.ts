/** Parses the WWW-Authenticate header: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 */

export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** Keys are in lower case; of equal names the first one counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN: RegExp = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const TOKEN68: RegExp = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;
const SPACE: RegExp = /[ \t]*/y;
const SEPARATORS: RegExp = /[ \t,]*/y;
const TO_COMMA: RegExp = /[^,]*/y;

/**
 * Returns the challenges of one or several headers, in order. Malformed text is skipped up to the next comma, so that a challenge of an
 * unknown scheme cannot hide a supported one. Takes time linear in the length.
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

  /** Takes what the sticky pattern matches at the position; empty if it does not match. */
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

  /** Takes a quoted-string and returns its content, up to the end of the text if unterminated. Undefined if none begins here. */
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
