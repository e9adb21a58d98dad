import t from "tap";
import { EventEmitter } from "node:events";
import type { ChildProcess } from "node:child_process";
import type { Log } from "../server/log/log.ts";
import { BackOff, DELAY_MS_MAX, DELAY_MS_MIN, LIFE_MS_MIN } from "../server/process/back-off.ts";
import type { Clock } from "../server/supervisor/clock.ts";
import { KeptProcess, type Word } from "../server/supervisor/kept-process.ts";

t.test("the wait doubles up to its maximum, and begins anew after a long life", (t) => {
  const backOff = new BackOff();
  const delays = Array.from({ length: 9 }, () => backOff.delayAfter(LIFE_MS_MIN - 1));
  t.same(delays, [100, 200, 400, 800, 1600, 3200, 6400, DELAY_MS_MAX, DELAY_MS_MAX]);
  t.equal(backOff.delayAfter(LIFE_MS_MIN), DELAY_MS_MIN);
  t.equal(backOff.delayAfter(0), 2 * DELAY_MS_MIN);
  t.end();
});

/** Time that passes when it is told to. */
class TestClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Map<() => void, number>();

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, then: () => void): () => void {
    this.#timers.set(then, this.#nowMs + delayMs);
    return () => this.#timers.delete(then);
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    for (const [then, atMs] of this.#timers) {
      if (atMs > this.#nowMs) continue;
      this.#timers.delete(then);
      then();
    }
  }
}

class TestChild extends EventEmitter {
  readonly pid = 1;
  readonly connected = true;
  readonly heard: unknown[] = [];
  exitCode: number | null = null;
  signalCode: string | null = null;

  send(message: unknown): boolean {
    this.heard.push(message);
    return true;
  }

  exit(code: number): void {
    this.exitCode = code;
    this.emit("exit", code, null);
    this.emit("close", code, null);
  }
}

const silent = () => undefined;
const noLog: Log = {
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
  connection: silent,
  message: silent,
  configure: silent,
  reopen: silent,
  flush: silent,
};

function kept() {
  const clock = new TestClock();
  const children: TestChild[] = [];
  let restarts = 0;
  const process = new KeptProcess(
    {
      name: "front",
      spawn: () => {
        const child = new TestChild();
        children.push(child);
        return child as unknown as ChildProcess;
      },
      hear: (message) => message as Word,
      onEnded: silent,
      onRestart: () => restarts++,
    },
    noLog,
    clock,
  );
  return { clock, children, process, restarts: () => restarts };
}

const ready: Word = { kind: "ready" };

t.test("a process that ends unasked is started again, later each time", async (t) => {
  const { clock, children, process, restarts } = kept();
  const started = process.start();
  children[0]!.emit("message", ready);
  await started;
  children[0]!.exit(1);
  clock.pass(DELAY_MS_MIN - 1);
  t.equal(children.length, 1);
  clock.pass(1);
  t.equal(children.length, 2);
  children[1]!.exit(1);
  clock.pass(2 * DELAY_MS_MIN - 1);
  t.equal(children.length, 2, "also when it was not ready again");
  clock.pass(1);
  t.equal(children.length, 3);
  clock.pass(LIFE_MS_MIN);
  children[2]!.exit(0);
  clock.pass(DELAY_MS_MIN);
  t.equal(children.length, 4);
  t.equal(restarts(), 3);
  process.send({ type: "drain" });
  t.same(children[3]!.heard, [{ type: "drain" }]);
});

t.test("a process that fails at its first start is not started again", async (t) => {
  const { clock, children, process } = kept();
  const started = process.start();
  children[0]!.emit("message", { kind: "failed", message: "no", exitCode: 2 } satisfies Word);
  await t.rejects(started, { message: "no", exitCode: 2 });
  children[0]!.exit(1);
  clock.pass(DELAY_MS_MAX);
  t.equal(children.length, 1);

  const silently = kept();
  const second = silently.process.start();
  silently.children[0]!.exit(3);
  await t.rejects(second, { message: "the front process ended before it was ready (exit code 3)" });
});

t.test("a process that is to finish is not started again", async (t) => {
  const { clock, children, process } = kept();
  const started = process.start();
  children[0]!.emit("message", ready);
  await started;
  children[0]!.exit(1);
  t.equal(await process.finish(), false, "while it waits for its next start");
  clock.pass(DELAY_MS_MAX);
  t.equal(children.length, 1);

  const running = kept();
  const second = running.process.start();
  running.children[0]!.emit("message", ready);
  await second;
  const finished = running.process.finish();
  running.children[0]!.exit(0);
  t.equal(await finished, true);
  running.clock.pass(DELAY_MS_MAX);
  t.equal(running.children.length, 1);
});
