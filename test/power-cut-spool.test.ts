/**
 * Power cuts at every point of what programs do to a whole spool: files, names, deliveries under locks, hints, and a
 * mailbox that is rewritten, with what may become of what was not synced by turns (in the long version all of it);
 * some of the starts afterwards are cut as well. `CUT=name@point/choice` repeats one.
 */
import t from "tap";
import { CUT_CHOICES, type CutChoice } from "./system/simulated-machine.ts";
import { cutSpoolEverywhere, type SpoolWorkload } from "./system/spool-cuts.ts";
import { deliveryOf, O_SYNC, type SpoolScene } from "./system/spool-scene.ts";

t.setTimeout(600_000);
// Hundreds of starts tell of torn tails and of an index made anew.
process.removeAllListeners("warning");

const isLong = process.env["ONESPOOL_LONG"] === "1";

const RDWR = 2;

/** A mail in which every line can be told from every other one. */
function mail(number: number, lines = 60): string {
  const text = Array.from(
    { length: lines },
    (_, k) => `line ${k} of mail ${number * 7919}, ${k * number}\n`,
  );
  return `From a Thu Jan  1 00:00:00 2026\nSubject: ${number}\n\n${text.join("")}\n`;
}

/** A program holds a mailbox's dotlock meanwhile. */
async function dotlocked(
  scene: SpoolScene,
  path: string,
  work: () => Promise<void>,
): Promise<void> {
  await scene.make(`${path}.lock`);
  await work();
  await scene.unlink(`${path}.lock`);
}

const workloads: SpoolWorkload[] = [
  {
    name: "files",
    run: async (scene) => {
      await scene.make("a");
      await scene.write("a", 0, "first;", RDWR | O_SYNC);
      await scene.append("a", mail(1, 10));
      await scene.write("a", 9000, "behind a hole");
      await scene.sync("a");
      await scene.write("a", 3, "in the middle");
      await scene.allocate("a", 3, 100, 300);
      await scene.allocate("a", 0x10, 50, 9000);
      await scene.make("b");
      await scene.copy(["a", 0], ["b", 10], 500);
      await scene.setXattr("a", "user.a", "value");
      await scene.change("b", { mode: 0o640, size: 200 });
      await scene.sync("b");
      await scene.setXattr("a", "user.a", undefined);
      await scene.append("b", "the end");
    },
  },
  {
    name: "names",
    run: async (scene) => {
      await scene.make("a");
      await scene.append("a", "one;");
      await scene.makeDirectory("d");
      await scene.make("d/b");
      await scene.append("d/b", "two;");
      await scene.sync("d");
      await scene.link("a", "d/c");
      await scene.symlink("l", "d/c");
      await scene.rename("d/b", "a");
      await scene.rename("a", "d/c", 2);
      await scene.sync("");
      await scene.rename("d", "e");
      const open = scene.open("a");
      const ino = scene.ino("a");
      await scene.unlink("a");
      await scene.unlink("e/c");
      await scene.close(ino, open).catch(() => undefined);
      await scene.removeDirectory("e");
      await scene.make("a");
    },
  },
  {
    name: "rewriting",
    run: async (scene) => {
      const [one, two, three] = [mail(1), mail(2), mail(3)];
      await scene.make("box");
      await scene.append("box", one + two + three);
      await scene.sync("box");
      // The first mail is expunged in place.
      await scene.write("box", 0, two);
      await scene.write("box", two.length, three);
      await scene.change("box", { size: two.length + three.length });
      await scene.sync("box");
      // The mailbox is emptied, and written anew.
      const handle = scene.open("box");
      await scene.change("box", { size: 0 });
      await scene.write("box", 0, `${two.slice(0, 500)}X${two.slice(501)}`);
      await scene.append("box", three);
      await scene.sync("box");
      await scene.close(scene.ino("box"), handle);
      // Another file takes its name.
      await scene.make("new");
      await scene.append("new", three);
      await scene.sync("new");
      await scene.rename("new", "box");
      await scene.sync("");
      await scene.append("box", one);
    },
  },
  {
    name: "deliveries",
    run: async (scene) => {
      await scene.make("a");
      await scene.append("a", "before;");
      await scene.deliver(mail(1), ["a", { path: "b", own: "for b;" }, "c"]);
      const unlock = await scene.lock("a");
      await scene.deliver(mail(2, 5), ["a", "b"]);
      await dotlocked(scene, "b", async () => {
        await scene.deliver(mail(3, 5), ["a", "b", "new"]);
        await scene.append("b", "by the lock's owner;");
      });
      await scene.make("a.new");
      await scene.append("a.new", "rewritten;");
      await unlock();
      const unlockAgain = await scene.lock("a", "posix");
      await scene.deliver("under the lock;", [{ path: "a", own: "for a;" }]);
      await scene.rename("a.new", "a");
      await unlockAgain();
      await scene.lock("c");
      await scene.deliver("for the next start;", ["c", "a"], { copies: true });
      await scene.append("a", "unsynced;");
    },
  },
  {
    name: "pending",
    run: async (scene) => {
      await scene.makeDirectory("d");
      await dotlocked(scene, "d/a", async () => {
        await scene.deliver("one;", ["d/a"]);
        await scene.deliver("two;", ["d/a", "b"]);
      });
      await scene.make("b.lock");
      await scene.deliver("three;", ["d/a", "b"]);
      await scene.stepper.reopen();
      await scene.deliver("four;", ["b"]);
      await scene.unlink("b");
      await scene.symlink("b", "d/a");
      await scene.unlink("b.lock");
      await scene.unlink("b");
      const unlock = await scene.lock("d/a");
      await scene.deliver("five;", ["d/a"]);
      await scene.unlink("d/a");
      await unlock().catch(() => undefined);
    },
  },
  {
    name: "hints",
    run: async (scene) => {
      const session = scene.session();
      const durable = { durable: true };
      const { units } = await scene.stepper.step(() =>
        session.ask({ op: "write", lengths: [1000, 200] }, ["u".repeat(1000), "v".repeat(200)]),
      );
      const [first, second] = units as [string, string];
      const shared = [{ unit: first }, { bytes: 5 }, { unit: second, offset: 50, length: 100 }];
      await scene.stepper.step(
        () => session.ask(deliveryOf(shared, ["a", "b"]), ["text;"]),
        durable,
      );
      await scene.append("b", "own;");
      const from = [
        { path: "a", offset: 10, length: 700 },
        { path: "b", offset: 900, length: 200 },
      ];
      await scene.request({ op: "share", from, to: { path: "b" } });
      await scene.request({ op: "remove", path: "b", offset: 100, length: 850 });
      await scene.stepper.step(() => session.ask({ op: "forget", units: [second] }));
      session.close();
      await scene.unlink("a");
      await scene.append("b", "the end;");
      await scene.request({ op: "remove", path: "b", offset: 0, length: 100 });
    },
  },
  {
    name: "segments",
    options: { segmentLength: 1500, checkpointBytes: 4000 },
    run: async (scene) => {
      for (let k = 1; k < 5; k++) await scene.deliver(mail(k, 20), ["a", `box-${k}`]);
      for (let k = 1; k < 4; k++) await scene.unlink(`box-${k}`);
      await scene.change("a", { size: 1000 });
      const { store } = scene.stepper.spool;
      await store.reclaim({ now: true, deadPartMin: 0 });
      await scene.append("a", "more;");
      await scene.stepper.reopen();
      await scene.deliver("the last;", ["a", "box-4"]);
    },
  },
];

/** Which of the states after a cut are started from with cuts. */
function again(point: number): CutChoice[] {
  if (isLong) return ["killed", "dropped", "torn", point];
  return point % 30 === 0 ? [point % 60 === 0 ? "killed" : point] : [];
}

function seeds(point: number, count: number): number[] {
  return Array.from({ length: count }, (_, k) => point * 1000 + k);
}

/** All of them by turns. */
function some(point: number): CutChoice[] {
  const turns = ["kept", "torn", "names", "reordered", "contents", "sizes"] as const;
  return ["killed", "dropped", turns[point % turns.length] as CutChoice, ...seeds(point, 1)];
}

for (const workload of workloads) {
  t.test(workload.name, async (t) => {
    const result = await cutSpoolEverywhere(workload, {
      choices: (point) => (isLong ? [...CUT_CHOICES, ...seeds(point, 5)] : some(point)),
      again,
    });
    const { points, cuts, cutsAgain } = result;
    t.comment(`${points} points, ${cuts} cuts, ${cutsAgain} cuts of the start after one`);
    t.ok(points > 15);
  });
}
