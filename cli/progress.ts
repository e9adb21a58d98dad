/** A line on stderr that tells how far long work is; nothing at all where stderr is no terminal. */

const INTERVAL_MS = 100;

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #shownAt = 0;
  #length = 0;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  show(text: string, now: number = Date.now()): void {
    if (!this.#stream.isTTY || now - this.#shownAt < INTERVAL_MS) return;
    this.#shownAt = now;
    const line = text.slice(0, Math.max(20, (this.#stream.columns ?? 80) - 1));
    this.#stream.write(`\r${line.padEnd(this.#length)}`);
    this.#length = line.length;
  }

  /** Takes the line away before anything else is printed. */
  clear(): void {
    if (this.#length > 0) this.#stream.write(`\r${" ".repeat(this.#length)}\r`);
    this.#length = 0;
  }
}
