/** When a worker should be replaced. Pure. */
import type { WorkersConfig } from "../config/config.ts";

const MiB = 1024 * 1024;
/**
 * `memoryMiBMax` bounds the heap, and V8 ends a process that needs more. Messages that are received, the program itself
 * and the stacks of its threads lie outside of it: a process of which they take more than this is replaced in time.
 */
export const OUTSIDE_OF_HEAP_MIB_MAX = 256;

export interface WorkerUse {
  /** Messages that it has had. */
  readonly messages: number;
  readonly residentBytes: number;
}

export function spentBy(use: WorkerUse, workers: WorkersConfig): "messages" | "memory" | undefined {
  if (use.messages >= workers.messagesMax) return "messages";
  const residentMiBMax = workers.memoryMiBMax + OUTSIDE_OF_HEAP_MIB_MAX;
  return use.residentBytes > residentMiBMax * MiB ? "memory" : undefined;
}
