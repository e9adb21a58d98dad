/**
 * Tells the kernel that what it caches of an inode is wrong. All that is asked for in one turn of the event loop
 * goes to the writing thread as one batch, and shares one promise.
 *
 * That the kernel does not have an inode (ENOENT) means one of two things: it has forgotten it, and the FORGET is
 * on its way here; or the reply that names it is written and the calling thread has not taken it in yet, which
 * will then install what the reply said. So as long as the inode counts as known, the notification is repeated.
 */
import { Worker } from "node:worker_threads";

const pageLength = 4096;
/** How often a notification is repeated, and how much longer each time is waited: 2.5 s in all. */
export const repeatsMax = 50;
const repeatMs = 2;

/** What the kernel is told of a file's size: its last byte, and where that stands. */
export interface LastByte {
  readonly ino: number;
  readonly offset: number;
  readonly byte: number;
}

interface Batch {
  /** What the kernel is still to be told. */
  readonly offsets: Map<number, number>;
  readonly written: Promise<void>;
  readonly resolve: () => void;
  repeats: number;
}

/** The thread of invalidation-worker.ts. */
export type InvalidationThread = Pick<Worker, "on" | "postMessage" | "ref" | "unref">;

export function startInvalidationThread(descriptor: number): InvalidationThread {
  // By its built name: a URL is not rewritten by the compiler.
  const file = new URL("./invalidation-worker.js", import.meta.url);
  return new Worker(file, { workerData: descriptor, stdin: false });
}

function newBatch(): Batch {
  const { promise, resolve } = withResolvers();
  return { offsets: new Map(), written: promise, resolve, repeats: 0 };
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

export class Invalidation {
  readonly #thread: InvalidationThread;
  readonly #knows: (ino: number) => boolean;
  /** Told of each inode that the kernel says not to have, before `knows` is asked. */
  readonly #onMissing: (ino: number) => void;
  readonly #exited: Promise<void>;
  #collecting: Batch | undefined;
  /** With the thread, oldest first: it answers in order. */
  readonly #sent: Batch[] = [];
  /** Every batch whose promise is not resolved, the one that is collected included. */
  readonly #unsettled = new Set<Batch>();
  #ended = false;

  /** `knows` tells whether a reply has named the inode and no FORGET has taken that back. */
  constructor(
    thread: InvalidationThread,
    knows: (ino: number) => boolean,
    onFailure: (error: unknown) => void,
    onMissing: (ino: number) => void = () => undefined,
  ) {
    this.#onMissing = onMissing;
    this.#thread = thread;
    this.#knows = knows;
    thread.unref();
    const { promise, resolve } = withResolvers();
    this.#exited = promise;
    thread.on("message", (missing: readonly number[]) => this.#answered(missing));
    thread.on("error", onFailure);
    thread.on("exit", () => {
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
      this.#unsettled.add(this.#collecting);
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

  /** Behind all that was asked for until now. It counts as unsettled for the inode until the kernel has it. */
  tellLastByte(last: LastByte): void {
    if (this.#ended) return;
    this.#send();
    const batch = newBatch();
    batch.offsets.set(last.ino, -1);
    this.#unsettled.add(batch);
    this.#sent.push(batch);
    this.#thread.postMessage(last, []);
  }

  /**
   * Resolves when the kernel knows of all that was asked for until now, of one inode or of every one;
   * undefined when it does.
   */
  settled(ino?: number): Promise<void> | undefined {
    const promises: Promise<void>[] = [];
    for (const { offsets, written } of this.#unsettled) {
      if (ino === undefined || offsets.has(ino)) promises.push(written);
    }
    return promises.length < 2 ? promises[0] : Promise.all(promises).then(() => {});
  }

  /** Resolves when the thread is gone and will never touch the descriptor again. */
  async end(): Promise<void> {
    if (!this.#ended) {
      this.#ended = true;
      // Nothing else may keep the process up until the descriptor can be closed.
      this.#thread.ref();
      this.#thread.postMessage(null, []);
    }
    await this.#exited;
  }

  #send(): void {
    const batch = this.#collecting;
    this.#collecting = undefined;
    if (batch === undefined) return;
    if (this.#ended) this.#resolve(batch);
    else this.#hand(batch);
  }

  #hand(batch: Batch): void {
    const pairs = new Float64Array(batch.offsets.size * 2);
    let at = 0;
    for (const [ino, offset] of batch.offsets) {
      pairs[at] = ino;
      pairs[at + 1] = offset;
      at += 2;
    }
    this.#sent.push(batch);
    this.#thread.postMessage(pairs, [pairs.buffer]);
  }

  /** `missing`: the pairs of inode and offset that the kernel does not have. */
  #answered(missing: readonly number[]): void {
    const batch = this.#sent.shift();
    if (batch === undefined) return;
    batch.offsets.clear();
    for (let k = 0; k < missing.length; k += 2) {
      batch.offsets.set(missing[k] as number, missing[k + 1] as number);
      this.#onMissing(missing[k] as number);
    }
    this.#repeatSoon(batch);
  }

  #repeatSoon(batch: Batch): void {
    if (!this.#isWanted(batch) || batch.repeats === repeatsMax) {
      this.#resolve(batch);
      return;
    }
    batch.repeats += 1;
    setTimeout(() => {
      if (this.#ended || !this.#isWanted(batch)) this.#resolve(batch);
      else this.#hand(batch);
    }, repeatMs * batch.repeats).unref();
  }

  /** Takes off what the kernel has forgotten; false when nothing is left. */
  #isWanted({ offsets }: Batch): boolean {
    for (const ino of offsets.keys()) if (!this.#knows(ino)) offsets.delete(ino);
    return offsets.size > 0;
  }

  #resolve(batch: Batch): void {
    this.#unsettled.delete(batch);
    batch.resolve();
  }

  #resolveAll(): void {
    this.#sent.length = 0;
    for (const batch of this.#unsettled) this.#resolve(batch);
  }
}
