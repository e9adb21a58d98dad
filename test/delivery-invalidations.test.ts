import t from "tap";
import { Invalidations } from "../fs/delivery/invalidations.ts";

/** A promise and what resolves it. */
function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test("an inode is settled when all notices of it were taken, in whatever order", async (t) => {
  const invalidations = new Invalidations();
  const notices = [deferred(), deferred(), deferred()];
  let next = 0;
  invalidations.use({ invalidate: () => notices[next]?.promise });
  void invalidations.start(7, 0);
  void invalidations.start(8, 0);
  next = 1;
  void invalidations.start(7, 10);
  next = 2;
  void invalidations.start(9, 0);
  notices[1]?.resolve();
  await turn();
  t.ok(invalidations.settled(7), "the first notice is still under way");
  notices[0]?.resolve();
  await turn();
  t.equal(invalidations.settled(7), undefined);
  t.equal(invalidations.settled(8), undefined);
  t.ok(invalidations.settled(9));
  notices[2]?.resolve();
  await turn();
  t.equal(invalidations.settled(9), undefined);
});

t.test("notices that share a promise settle together, also one that comes late", async (t) => {
  const invalidations = new Invalidations();
  const { promise, resolve } = deferred();
  invalidations.use({ invalidate: () => promise });
  for (const ino of [1, 2, 3, 2]) t.equal(invalidations.start(ino, 0), promise);
  resolve();
  await turn();
  for (const ino of [1, 2, 3]) t.equal(invalidations.settled(ino), undefined);
  void invalidations.start(4, 0);
  await turn();
  t.equal(invalidations.settled(4), undefined);
});

t.test(
  "without a binding, or for an inode that no kernel knows, there is nothing to wait for",
  async (t) => {
    const invalidations = new Invalidations();
    t.equal(invalidations.start(1, 0), undefined);
    invalidations.use({ invalidate: () => undefined });
    t.equal(invalidations.start(1, 0), undefined);
    t.equal(invalidations.settled(1), undefined);
  },
);
