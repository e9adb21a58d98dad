/**
 * Failures of the storage below, thrown by the store and caught at two edges only: where a binding
 * answers the kernel and where a hint answers its caller.
 */
import type { Errno } from "../../base/errno.ts";
import { EIO, ENOSPC } from "../../base/errno.ts";

export type StoreErrorCode =
  /** The disk is full, or the store's own reserve would be touched. */
  | "STORE_FULL"
  /** A read or a write failed, or an earlier sync did: nothing more is acknowledged. */
  | "STORE_IO"
  /** Bytes of the log whose checksum does not fit, or a log that is not whole. */
  | "STORE_DAMAGED"
  /** The index is damaged; it can be made anew from the log (onespool fsck --rebuild-index). */
  | "INDEX_DAMAGED"
  /** Another process has the store. */
  | "STORE_BUSY"
  /** Not a store, or one of a newer format. */
  | "STORE_FORMAT";

export class StoreError extends Error {
  override name = "StoreError";
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get errno(): Errno {
    return this.code === "STORE_FULL" ? ENOSPC : EIO;
  }
}
