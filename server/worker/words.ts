/**
 * What a worker tells the front of its sessions, gathered for a moment: each message between processes costs both of them
 * as much as a command of a client.
 */
import type { FromWorker } from "../messages.ts";

/** From the first of them: how much longer the front holds a descriptor, and counts a closed connection as open. */
const GATHERED_MS = 20;

export class Words {
  readonly #tell: (message: FromWorker) => void;
  #taken: string[] = [];
  #closed: string[] = [];
  #timer: NodeJS.Timeout | undefined;

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

  /** Tells what there is now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const taken = this.#taken;
    const closed = this.#closed;
    this.#taken = [];
    this.#closed = [];
    if (taken.length > 0) this.#tell({ type: "taken", ids: taken });
    if (closed.length > 0) this.#tell({ type: "closed", ids: closed });
  }

  #due(): void {
    this.#timer ??= setTimeout(() => this.flush(), GATHERED_MS);
  }
}
