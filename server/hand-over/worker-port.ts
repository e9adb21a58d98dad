/** A worker as the front sees it, in another process or in the same one. */
import type { Socket } from "node:net";
import type { HandOverRecord } from "./record.ts";

export type HandOverResult =
  /** The worker has the session; the front closes its own descriptor without a word on the wire. */
  | "taken"
  /** It has not got the record, and will not. */
  | "failed"
  /** It has ended, and may have had the session before. */
  | "lost"
  /** It may have it, and has not said so in time. */
  | "timedOut";

export interface WorkerPort {
  /** Sessions that it has or is about to get. */
  readonly sessions: number;
  /** Those of them whose socket stays with the front. */
  readonly relays: number;
  /** `settled` is called once, later than this returns. */
  give(record: HandOverRecord, socket: Socket, settled: (result: HandOverResult) => void): void;
}

export interface WorkerPool {
  /** All that can take a session now. */
  readonly ports: readonly WorkerPort[];
}
