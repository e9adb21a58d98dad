/**
 * Tells the kernel that what it caches of an inode is wrong. All that is asked for in one turn of the event loop
 * goes to the writing thread as one batch, and shares one promise.
 */
import { Worker } from "node:worker_threads";

const pageLength = 4096;

interface Batch {
  readonly offsets: Map<number, number>;
  readonly written: Promise<void>;
  readonly resolve: () => void;
}

function newBatch(): Batch {
  const { promise, resolve } = withResolvers();
  return { offsets: new Map(), written: promise, resolve };
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

export class Invalidation {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #collecting: Batch | undefined;
  /** Sent and not yet written, oldest first: the thread answers in order. */
  readonly #sent: Batch[] = [];
  #ended = false;

  constructor(descriptor: number, onFailure: (error: unknown) => void) {
    // By its built name: a URL is not rewritten by the compiler.
    const file = new URL("./invalidation-worker.js", import.meta.url);
    this.#worker = new Worker(file, { workerData: descriptor, stdin: false });
    this.#worker.unref();
    const { promise, resolve } = withResolvers();
    this.#exited = promise;
    this.#worker.on("message", () => this.#sent.shift()?.resolve());
    this.#worker.on("error", onFailure);
    this.#worker.on("exit", () => {
      this.#ended = true;
      this.#resolveAll();
      resolve();
    });
  }

  /** Bytes go from the beginning of the page in which `offset` lies (< 0: none). */
  invalidate(ino: number, offset: number): Promise<void> | undefined {
    if (this.#ended) return undefined;
    if (this.#collecting === undefined) {
      this.#collecting = newBatch();
      queueMicrotask(() => this.#send());
    }
    const { offsets, written } = this.#collecting;
    const from = offset < 0 ? -1 : offset - (offset % pageLength);
    const present = offsets.get(ino);
    if (present === undefined || present < 0 || (from >= 0 && from < present)) {
      offsets.set(ino, from);
    }
    return written;
  }

  /**
   * Resolves when the kernel knows of all that was asked for until now, of one inode or of every one;
   * undefined when it does.
   */
  settled(ino?: number): Promise<void> | undefined {
    const batches = this.#collecting === undefined ? this.#sent : [...this.#sent, this.#collecting];
    return batches.findLast(({ offsets }) => ino === undefined || offsets.has(ino))?.written;
  }

  /** Resolves when the thread is gone and will never touch the descriptor again. */
  async end(): Promise<void> {
    if (!this.#ended) {
      this.#ended = true;
      // Nothing else may keep the process up until the descriptor can be closed.
      this.#worker.ref();
      this.#worker.postMessage(null, []);
    }
    await this.#exited;
  }

  #send(): void {
    const batch = this.#collecting;
    this.#collecting = undefined;
    if (batch === undefined) return;
    if (this.#ended) {
      batch.resolve();
      return;
    }
    const pairs = new Float64Array(batch.offsets.size * 2);
    let at = 0;
    for (const [ino, offset] of batch.offsets) {
      pairs[at] = ino;
      pairs[at + 1] = offset;
      at += 2;
    }
    this.#sent.push(batch);
    this.#worker.postMessage(pairs, [pairs.buffer]);
  }

  #resolveAll(): void {
    this.#collecting?.resolve();
    for (const batch of this.#sent.splice(0)) batch.resolve();
  }
}
