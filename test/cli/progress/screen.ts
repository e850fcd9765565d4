/** A terminal with the features that log-update uses; it wraps and scrolls as a terminal does. */
export class Screen {
  readonly columns: number;
  readonly rows: number;
  readonly isTTY = true;
  /** Lines from the first one written, those that scrolled away included. */
  readonly lines: string[] = [""];
  /** How often a line was longer than the terminal is wide. */
  wraps = 0;
  writes = 0;
  writableNeedDrain = false;
  /** Whether a synchronized update is open. */
  synchronizing = false;
  #row = 0;

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
  }

  readonly write = (text: string): boolean => {
    this.writes++;
    // an ESC that starts no such sequence is a separate token, which is rejected
    for (const [token] of text.matchAll(/\u001b\[\??\d*[A-Za-z]|\u001b|\r|\n|[^\u001b\r\n]+/g)) this.#apply(token);
    return true;
  };

  /** What can be seen, without empty lines at the end. */
  get text(): string[] {
    return this.lines.slice(0, this.lines.findLastIndex((line) => line !== "") + 1);
  }

  get cursor(): { readonly row: number; readonly column: number } {
    return { row: this.#row, column: this.#column };
  }

  #column = 0;

  #apply(token: string): void {
    if (token === "\n") this.#down();
    else if (token === "\r") this.#column = 0;
    else if (token.startsWith("\u001b")) this.#control(token.slice(2, -1), token.at(-1) ?? "");
    else this.#print(token);
  }

  #print(text: string): void {
    const line = this.lines[this.#row] ?? "";
    const next = line.slice(0, this.#column).padEnd(this.#column) + text + line.slice(this.#column + text.length);
    if (next.length > this.columns) this.wraps++;
    this.lines[this.#row] = next;
    this.#column += text.length;
  }

  #control(argument: string, letter: string): void {
    const count = Number(argument || 1);
    if (argument === "?2026") this.#synchronize(letter);
    else if (letter === "A") this.#row = Math.max(this.#top(), this.#row - count);
    else if (letter === "B") this.#row = Math.min(this.lines.length - 1, this.#row + count);
    else if (letter === "G") this.#column = count - 1;
    else if (letter === "K" && argument === "2") this.lines[this.#row] = "";
    else if (letter === "K" && argument === "") this.#eraseToEnd();
    else if (letter === "J" && argument === "") {
      this.#eraseToEnd();
      for (let row = this.#row + 1; row < this.lines.length; row++) this.lines[row] = "";
    } else throw new Error(`the screen does not know ESC [ ${argument} ${letter}`);
  }

  /** A terminal shows nothing of what lies between h and l until l comes: an l that is missing would freeze it. */
  #synchronize(letter: string): void {
    if (letter !== (this.synchronizing ? "l" : "h")) throw new Error(`ESC [ ?2026 ${letter} out of turn`);
    this.synchronizing = letter === "h";
  }

  #eraseToEnd(): void {
    this.lines[this.#row] = (this.lines[this.#row] ?? "").slice(0, this.#column);
  }

  /** The cursor cannot go up into what has scrolled away. */
  #top(): number {
    return Math.max(0, this.lines.length - this.rows);
  }

  #down(): void {
    this.#row++;
    this.#column = 0;
    if (this.#row === this.lines.length) this.lines.push("");
  }
}
