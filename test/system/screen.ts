/**
 * What a terminal of the kind vt100 shows: the sequences that terminfo(5) has for it, so programs that draw
 * with curses can be read by a test. Attributes and character sets are dropped.
 */

// eslint-disable-next-line no-control-regex
const sequence = /^\x1b(?:\[([?]?)([0-9;]*)([@-~])|[()][0-9A-Z]|[^[()])/;
// eslint-disable-next-line no-control-regex
const beginning = /^\x1b(?:\[[?]?[0-9;]*|[()])?$/;

export class Screen {
  readonly #rows: number;
  readonly #columns: number;
  readonly #lines: string[][];
  #row = 0;
  #column = 0;
  #top = 0;
  #bottom: number;
  /** The beginning of a sequence whose end has not come yet. */
  #rest = "";

  constructor(rows: number, columns: number) {
    this.#rows = rows;
    this.#columns = columns;
    this.#bottom = rows - 1;
    this.#lines = Array.from({ length: rows }, () => this.#blank());
  }

  /** Lines from top to bottom, without blanks at their ends. */
  get text(): string {
    return this.#lines.map((line) => line.join("").trimEnd()).join("\n");
  }

  /** One character for each byte. */
  write(bytes: string): void {
    let text = this.#rest + bytes;
    this.#rest = "";
    while (text !== "") {
      if (text.startsWith("\x1b")) {
        const found = sequence.exec(text);
        if (found === null) {
          if (beginning.test(text)) this.#rest = text;
          else text = text.slice(1);
          if (this.#rest !== "") return;
          continue;
        }
        this.#obey(found[0], found[2] ?? "", found[3], found[1] === "?");
        text = text.slice(found[0].length);
      } else {
        this.#put(text[0]!);
        text = text.slice(1);
      }
    }
  }

  #blank(): string[] {
    return Array.from({ length: this.#columns }, () => " ");
  }

  #put(character: string): void {
    if (character === "\r") this.#column = 0;
    else if (character === "\n") this.#down();
    else if (character === "\b") this.#column = Math.max(0, this.#column - 1);
    else if (character === "\t") this.#column = Math.min(this.#columns - 1, (this.#column | 7) + 1);
    else if (character >= " ") {
      // Only the next character after the last column begins a new line.
      if (this.#column === this.#columns) {
        this.#column = 0;
        this.#down();
      }
      this.#lines[this.#row]![this.#column++] = character;
    }
  }

  #down(): void {
    if (this.#row === this.#bottom) this.#scroll(this.#top, this.#bottom);
    else this.#row = Math.min(this.#rows - 1, this.#row + 1);
  }

  /** The line at `gone` disappears, a blank one comes at `come`. */
  #scroll(gone: number, come: number): void {
    this.#lines.splice(gone, 1);
    this.#lines.splice(come, 0, this.#blank());
  }

  #obey(all: string, digits: string, letter: string | undefined, isPrivate: boolean): void {
    if (letter === undefined) {
      if (all === "\x1bD") this.#down();
      else if (all === "\x1bM") {
        if (this.#row === this.#top) this.#scroll(this.#bottom, this.#top);
        else this.#row = Math.max(0, this.#row - 1);
      }
      return;
    }
    if (isPrivate) return;
    const [first, second] = digits.split(";").map(Number);
    const count = Math.max(1, first ?? 0);
    if (letter === "H" || letter === "f") this.#move(count - 1, Math.max(1, second ?? 0) - 1);
    else if (letter === "A") this.#move(this.#row - count, this.#column);
    else if (letter === "B") this.#move(this.#row + count, this.#column);
    else if (letter === "C") this.#move(this.#row, this.#column + count);
    else if (letter === "D") this.#move(this.#row, this.#column - count);
    else if (letter === "J") this.#erase(first ?? 0, true);
    else if (letter === "K") this.#erase(first ?? 0, false);
    else if (letter === "r") {
      this.#top = count - 1;
      this.#bottom = (second ?? this.#rows) - 1;
      this.#move(0, 0);
    }
  }

  #move(row: number, column: number): void {
    this.#row = Math.min(this.#rows - 1, Math.max(0, row));
    this.#column = Math.min(this.#columns - 1, Math.max(0, column));
  }

  /** ED and EL: 0 from the cursor on, 1 up to it, 2 all. */
  #erase(which: number, isDisplay: boolean): void {
    const line = this.#lines[this.#row]!;
    for (let column = 0; column < this.#columns; column++) {
      const isErased =
        which === 2 || (which === 0 ? column >= this.#column : column <= this.#column);
      if (isErased) line[column] = " ";
    }
    if (!isDisplay) return;
    for (let row = 0; row < this.#rows; row++) {
      const isErased = which === 2 || (which === 0 ? row > this.#row : row < this.#row);
      if (isErased) this.#lines[row] = this.#blank();
    }
  }
}
