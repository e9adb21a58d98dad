/** When the event loop turns instead of sleeping: a clock and turns that the test moves. */
import t from "tap";
import { StayAwake, type EventLoop } from "../fs/kernel/stay-awake.ts";

class Loop implements EventLoop {
  atUs = 0;
  readonly processors: number;
  #next: (() => void) | undefined;

  constructor(processors = 2) {
    this.processors = processors;
  }

  now(): number {
    return this.atUs;
  }

  nextTurn(callback: () => void): void {
    this.#next = callback;
  }

  /** Whether the loop would not sleep now. */
  get isTurning(): boolean {
    return this.#next !== undefined;
  }

  turn(): void {
    const next = this.#next;
    this.#next = undefined;
    next?.();
  }
}

/** Requests, each `gapUs` behind the reply to the one before; between them the loop turns, if it wants to, every 10 µs. */
function requests(loop: Loop, awake: StayAwake, count: number, gapUs: number): void {
  for (let k = 0; k < count; k++) {
    for (let passed = 0; passed < gapUs; passed += 10) {
      loop.atUs += 10;
      loop.turn();
    }
    awake.arrived();
    loop.atUs += 20;
    awake.handled();
  }
}

t.test("single requests let the loop sleep", (t) => {
  const loop = new Loop();
  requests(loop, new StayAwake(loop), 100, 1_000);
  t.notOk(loop.isTurning);
  t.end();
});

t.test("behind a row of close requests the loop turns, and for 200 µs only", (t) => {
  const loop = new Loop();
  const awake = new StayAwake(loop);
  requests(loop, awake, 10, 100);
  t.notOk(loop.isTurning, "ten are no row yet");
  requests(loop, awake, 10, 100);
  t.ok(loop.isTurning);
  loop.atUs += 190;
  loop.turn();
  t.ok(loop.isTurning, "190 µs later it still turns");
  loop.atUs += 20;
  loop.turn();
  t.notOk(loop.isTurning, "then it sleeps");
  requests(loop, awake, 10, 100);
  t.notOk(loop.isTurning, "and the row begins anew");
  t.end();
});

t.test("a row goes on turning as long as requests come", (t) => {
  const loop = new Loop();
  const awake = new StayAwake(loop);
  requests(loop, awake, 1_000, 150);
  t.ok(loop.isTurning);
  requests(loop, awake, 1, 300);
  t.notOk(loop.isTurning, "until one is late");
  t.end();
});

t.test("with one processor the loop never turns", (t) => {
  const loop = new Loop(1);
  requests(loop, new StayAwake(loop), 1_000, 50);
  t.notOk(loop.isTurning);
  t.end();
});
