/** A worker as the front sees it, in another process or in the same one. */
import type { Socket } from "node:net";
import type { HandOverRecord } from "./record.ts";

export type HandOverResult =
  /** The worker has the session; the front closes its own descriptor without a word on the wire. */
  | "taken"
  /** It will not come to have it. */
  | "failed"
  /** It may have it and did not say so in time. */
  | "timedOut";

export interface WorkerPort {
  /** Sessions that it has or is about to get. */
  readonly sessions: number;
  /** `settled` is called once, later than this returns. */
  give(record: HandOverRecord, socket: Socket, settled: (result: HandOverResult) => void): void;
}

export interface WorkerPool {
  /** All that can take a session now. */
  readonly ports: readonly WorkerPort[];
}
