/** What a worker tells of its sessions, gathered for one turn of the event loop. */
import type { FromWorker } from "../messages.ts";

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
    setImmediate(() => {
      this.#isDue = false;
      const taken = this.#taken;
      const closed = this.#closed;
      this.#taken = [];
      this.#closed = [];
      if (taken.length > 0) this.#tell({ type: "taken", ids: taken });
      if (closed.length > 0) this.#tell({ type: "closed", ids: closed });
    });
  }
}
