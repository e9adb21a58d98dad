/** Loaded before `onespool mount` (node --import): programs that watch are told of each change at once, and of all of them. */
import { EventQueue, TICK_MS } from "../../fs/kernel/herald/queue.ts";

/** So many times faster than it is for the rest of the process. */
const HASTE = 1_000;

const { tick, take } = EventQueue.prototype;
EventQueue.prototype.tick = function (nowMs, isBusy) {
  tick.call(this, HASTE * nowMs, isBusy);
};
EventQueue.prototype.take = function (nowMs) {
  take.call(this, HASTE * nowMs);
};

const { setInterval } = globalThis;
globalThis.setInterval = ((act: (...given: unknown[]) => void, ms: number, ...given: unknown[]) =>
  setInterval(act, ms === TICK_MS ? 4 : ms, ...given)) as typeof setInterval;
