/**
 * Whether the front runs short: of connections, of workers' places, or of descriptors. It ends well below where it
 * begins, so that it does not flicker.
 */
import { readFileSync } from "node:fs";
import type { Limits } from "../config/config.ts";

const END_SHARE = 0.9;

export interface Use {
  readonly used: number;
  readonly max: number;
}

export function isStressed(uses: readonly Use[], limits: Limits, isStress: boolean): boolean {
  const begin = limits.stressPercent / 100;
  const threshold = isStress ? begin * END_SHARE : begin;
  return uses.some(({ used, max }) => used >= max * threshold);
}

/** The soft limit of this process, which Node has raised to the hard one. */
export function descriptorsMax(): number {
  const text = readFileSync("/proc/self/limits", "latin1");
  const soft = /^Max open files\s+(\d+)/m.exec(text)?.[1];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}
