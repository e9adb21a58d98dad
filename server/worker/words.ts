/**
 * What a worker tells the front of its sessions, gathered for a moment: each message between processes costs both of them
 * as much as a command of a client.
 */
import type { FromWorker } from "../messages.ts";

/** The front holds a descriptor, and counts a closed connection as open, for so long. */
const GATHERED_MS = 20;

export class Words {
  readonly #tell: (message: FromWorker) => void;
  #taken: string[] = [];
  #closed: string[] = [];
  #isDue = false;

  constructor(tell: (message: FromWorker) => void) {
    this.#tell = tell;
  }

  taken(id: string): void {
    this.#taken.push(id);
    this.#due();
  }

  closed(id: string): void {
    this.#closed.push(id);
    this.#due();
  }

  #due(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => {
      this.#isDue = false;
      const taken = this.#taken;
      const closed = this.#closed;
      this.#taken = [];
      this.#closed = [];
      if (taken.length > 0) this.#tell({ type: "taken", ids: taken });
      if (closed.length > 0) this.#tell({ type: "closed", ids: closed });
    }, GATHERED_MS);
  }
}
