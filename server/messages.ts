/**
 * What supervisor, front and workers tell each other through their channels: plain data. A hand-over travels
 * beside it, see server/hand-over/record.ts.
 */
import type { Config, Listener } from "./config/config.ts";

/** Raised with every change of a message; both ends are of one installation, so it only finds mixed ones. */
export const MESSAGES_VERSION = 2;

/** PEM texts: read by the supervisor, since the account of the front must not be able to read the key. */
export interface TlsMaterial {
  readonly certificate: string;
  readonly key: string;
}

/** Open the log anew: it may have been rotated. */
export interface Reopen {
  readonly type: "reopen";
}

export type ToFront =
  | Reopen
  /** First thing after the start, and again with every reload. */
  | {
      readonly type: "configure";
      readonly version: number;
      readonly config: Config;
      readonly tls: TlsMaterial | undefined;
    }
  /** Stop listening, finish what is under way, end. */
  | { readonly type: "drain" };

export type FromFront =
  /** Listens, has given up its privileges, and all workers answer. Once. */
  | { readonly type: "ready"; readonly listening: readonly Listener[] }
  /** Cannot start; the front ends. Starting it again with the same configuration would not help. */
  | { readonly type: "failed"; readonly message: string }
  /** After a reload: undefined, or why the old state was kept. */
  | { readonly type: "reloaded"; readonly problem: string | undefined }
  /** Each second in which something changed: of the front and its workers together. */
  | { readonly type: "counters"; readonly counters: unknown };

export type ToWorker =
  | Reopen
  | { readonly type: "configure"; readonly version: number; readonly config: Config }
  | { readonly type: "stress"; readonly isOn: boolean }
  /** No more sessions come: end with the last one. */
  | { readonly type: "retire" }
  /** The server ends: those that do nothing are told so, messages under way are finished. */
  | { readonly type: "drain" };

export type FromWorker =
  /** `relay` is the path of the socket on which it takes relayed sessions. */
  | { readonly type: "ready"; readonly relay: string }
  | { readonly type: "counters"; readonly counters: unknown }
  /** Sessions that it has taken, and those that it has closed, since the last word. */
  | { readonly type: "taken"; readonly ids: readonly string[] }
  | { readonly type: "closed"; readonly ids: readonly string[] }
  /** It has done its messages: no more sessions, it ends when those that it has are done. */
  | { readonly type: "retiring" };
