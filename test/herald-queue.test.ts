/** Whose watchers are told when (fs/kernel/herald/queue.ts). */
import fc from "fast-check";
import t from "tap";
import {
  EventQueue,
  FILES_MAX,
  FILES_PER_BUSY_TICK,
  FILES_PER_TICK,
  INTERVAL_MS,
  OTHERS_PER_BUSY_TICK,
  TICK_MS,
} from "../fs/kernel/herald/queue.ts";

/** All that a tick lets through. */
function tell(queue: EventQueue, nowMs: number): number[] {
  const told: number[] = [];
  for (let ino = queue.head(); ino !== 0; ino = queue.head()) {
    told.push(ino);
    queue.take(nowMs);
  }
  queue.check();
  return told;
}

t.test(
  "a file that changes often is told of once in the interval, and after its last change",
  (t) => {
    const queue = new EventQueue(() => true);
    queue.changed(5);
    queue.changed(5);
    t.strictSame(tell(queue, 0), [5]);
    t.strictSame(tell(queue, 0), []);
    queue.changed(5);
    queue.changed(5);
    queue.tick(INTERVAL_MS - 1, false);
    t.strictSame(tell(queue, INTERVAL_MS - 1), []);
    queue.tick(INTERVAL_MS, false);
    t.strictSame(tell(queue, INTERVAL_MS), [5]);
    t.notOk(queue.isIdle);
    queue.tick(2 * INTERVAL_MS, false);
    t.ok(queue.isIdle);
    t.end();
  },
);

t.test("a change while the file's turn is being used brings another turn", (t) => {
  const queue = new EventQueue(() => true);
  queue.changed(5);
  t.equal(queue.head(), 5);
  queue.changed(5);
  queue.take(0);
  queue.tick(INTERVAL_MS, false);
  t.strictSame(tell(queue, INTERVAL_MS), [5]);
  t.end();
});

t.test("the file whose turn it is stays the same until it is taken or dropped", (t) => {
  const queue = new EventQueue((ino) => ino > 10);
  queue.changed(5);
  t.equal(queue.head(), 5);
  queue.changed(15);
  t.equal(queue.head(), 5);
  queue.drop();
  t.equal(queue.head(), 15);
  queue.take(0);
  t.equal(queue.head(), 0);
  t.end();
});

t.test("opened files come first, and the others are not forgotten", (t) => {
  const queue = new EventQueue((ino) => ino > 1000);
  for (let k = 1; k <= 50; k += 1) {
    queue.changed(k);
    queue.changed(1000 + k);
  }
  const told = tell(queue, 0);
  t.equal(told.length, 100);
  t.ok(told.slice(0, 40).filter((ino) => ino > 1000).length === 35, "seven of eight turns");
  t.end();
});

t.test("a tick lets so many through and not more, when busy few that were not opened", (t) => {
  const queue = new EventQueue((ino) => ino > 1000);
  for (let k = 1; k <= 500; k += 1) queue.changed(k);
  t.equal(tell(queue, 0).length, FILES_PER_TICK);
  t.notOk(queue.isReady);
  queue.tick(TICK_MS, true);
  t.ok(queue.isReady);
  t.equal(tell(queue, TICK_MS).length, OTHERS_PER_BUSY_TICK);
  t.notOk(queue.isReady);
  for (let k = 1; k <= 500; k += 1) queue.changed(1000 + k);
  queue.tick(2 * TICK_MS, true);
  t.equal(tell(queue, 2 * TICK_MS).length, FILES_PER_BUSY_TICK);
  t.end();
});

t.test("however many files change, a bounded number waits", (t) => {
  const queue = new EventQueue((ino) => ino % 2 === 0);
  for (let ino = 1; ino <= FILES_MAX * 4; ino += 1) queue.changed(ino);
  queue.check();
  t.pass("the queue asserts it");
  t.end();
});

t.test("after every last change comes a turn, whatever happens in which order", (t) => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${seed}; repeat with SEED=${seed} node dist/test/herald-queue.test.js`);
  const step = fc.oneof(
    fc.record({ do: fc.constant("change" as const), ino: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ do: fc.constant("look" as const), ino: fc.constant(0) }),
    fc.record({ do: fc.constant("take" as const), ino: fc.constant(0) }),
    fc.record({ do: fc.constant("tick" as const), ino: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 0, max: 30 }), (steps, m) => {
      const queue = new EventQueue((ino) => ino > m);
      const due = new Set<number>();
      let nowMs = 0;
      const take = (): void => {
        const ino = queue.head();
        if (ino === 0) return;
        due.delete(ino);
        queue.take(nowMs);
      };
      for (const { do: what, ino } of steps) {
        if (what === "change") {
          queue.changed(ino);
          due.add(ino);
        } else if (what === "look") queue.head();
        else if (what === "take") take();
        else queue.tick((nowMs += TICK_MS), nowMs % 3 === 0);
        queue.check();
      }
      for (let k = 0; k < 100 && !queue.isIdle; k += 1) {
        queue.tick((nowMs += INTERVAL_MS), false);
        while (queue.isReady) take();
      }
      return due.size === 0 && queue.isIdle;
    }),
    { seed },
  );
  t.pass("100 runs");
  t.end();
});
