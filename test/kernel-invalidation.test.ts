/** What is done when the kernel does not have an inode; a thread that the test plays stands for the real one. */
import { EventEmitter } from "node:events";
import t from "tap";
import { Invalidation, repeatsMax } from "../fs/kernel/invalidation.ts";
import type { InvalidationThread } from "../fs/kernel/invalidation.ts";

/** Answers every batch in the next turn with the inodes that the kernel does not have by then. */
class Thread extends EventEmitter {
  readonly batches: number[][] = [];
  readonly missing = new Set<number>();
  /** Called before a batch is answered. */
  onBatch = (): void => {};

  postMessage(pairs: Float64Array | null): void {
    setImmediate(() => {
      if (pairs === null) {
        this.emit("exit");
        return;
      }
      this.batches.push([...pairs]);
      this.onBatch();
      const missing: number[] = [];
      for (let k = 0; k < pairs.length; k += 2) {
        if (this.missing.has(pairs[k] as number)) missing.push(...pairs.subarray(k, k + 2));
      }
      this.emit("message", missing);
    });
  }

  ref(): void {}
  unref(): void {}
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function start() {
  const thread = new Thread();
  const known = new Set([16, 17, 18]);
  const invalidation = new Invalidation(
    thread as unknown as InvalidationThread,
    (ino) => known.has(ino),
    (error) => {
      throw error;
    },
  );
  // The repeating timer does not keep a process up.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  return { thread, known, invalidation };
}

t.test("an inode that the kernel has only later is told of again until it has it", async (t) => {
  const { thread, invalidation } = start();
  thread.missing.add(17);
  thread.onBatch = () => {
    if (thread.batches.length === 4) thread.missing.delete(17);
  };
  void invalidation.invalidate(16, 0);
  const told = invalidation.invalidate(17, 5000);
  await told;
  t.same(thread.batches, [
    [16, 0, 17, 4096],
    [17, 4096],
    [17, 4096],
    [17, 4096],
  ]);
  t.equal(invalidation.settled(), undefined);
});

t.test("an inode that is forgotten is not told of again", async (t) => {
  const { thread, known, invalidation } = start();
  thread.missing.add(17).add(18);
  thread.onBatch = () => {
    if (thread.batches.length === 2) known.delete(18);
    if (thread.batches.length === 3) known.delete(17);
  };
  void invalidation.invalidate(17, -1);
  await invalidation.invalidate(18, -1);
  t.same(thread.batches, [
    [17, -1, 18, -1],
    [17, -1, 18, -1],
    [17, -1],
  ]);
});

t.test("an inode that the kernel never has is told of a limited number of times", async (t) => {
  const { thread, invalidation } = start();
  thread.missing.add(17);
  await invalidation.invalidate(17, 0);
  t.equal(thread.batches.length, 1 + repeatsMax);
});

t.test("what is told again holds up those who ask for it, and nobody else", async (t) => {
  const { thread, known, invalidation } = start();
  thread.missing.add(17);
  void invalidation.invalidate(16, 0);
  const first = invalidation.invalidate(17, 0);
  while (invalidation.settled(16) !== undefined) await turn();
  const second = invalidation.invalidate(18, 0);
  await second;
  t.equal(invalidation.settled(18), undefined);
  t.ok(invalidation.settled(17), "an earlier batch is still under way");
  const all = invalidation.settled();
  t.ok(all);
  known.delete(17);
  await Promise.all([first, all]);
  t.equal(invalidation.settled(), undefined);
});

t.test("the end of the thread settles what is still to be repeated", async (t) => {
  const { thread, invalidation } = start();
  thread.missing.add(17);
  const told = invalidation.invalidate(17, 0);
  while (thread.batches.length === 0) await turn();
  await invalidation.end();
  await told;
  t.equal(invalidation.settled(), undefined);
  t.equal(invalidation.invalidate(17, 0), undefined);
});
