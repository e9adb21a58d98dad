/** What memory a process uses now, and whether it grew in the course of many looks. Pure but for `lookAtMemory`. */
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { getHeapSpaceStatistics } from "node:v8";

export interface Memory {
  /** Bytes of JavaScript objects that are in use, without compiled code, of which there is more the longer it runs. */
  readonly heap: number;
  /** Bytes of buffers and of what else objects hold outside of the heap. */
  readonly external: number;
  /** Bytes of the process that are in no file, garbage and free pieces of the allocator included. */
  readonly resident: number;
}

export const MEMORY_KINDS = ["heap", "external", "resident"] as const satisfies (keyof Memory)[];

/** Needs --expose-gc. */
export async function lookAtMemory(): Promise<Memory> {
  // What ends in callbacks of a collection can be collected by the next one.
  for (let k = 0; k < 3; k++) {
    globalThis.gc!();
    await nextTurn();
  }
  const { external } = process.memoryUsage();
  let heap = 0;
  for (const { space_name: name, space_used_size: bytes } of getHeapSpaceStatistics()) {
    if (!/code|trusted/.test(name)) heap += bytes;
  }
  const status = readFileSync("/proc/self/status", "latin1");
  return { heap, external, resident: Number(/RssAnon:\s+(\d+)/.exec(status)![1]) * 1024 };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}

/** From one part of the looks to a later one, by their medians. */
export function growth(early: readonly Memory[], late: readonly Memory[]): Memory {
  const grown = (kind: keyof Memory): number =>
    median(late.map((look) => look[kind])) - median(early.map((look) => look[kind]));
  return { heap: grown("heap"), external: grown("external"), resident: grown("resident") };
}
