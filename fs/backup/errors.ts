/** Why a backup or a restore cannot be made. The message names the place and says what is allowed. */

export type BackupErrorCode =
  /** The directory for backups holds something else, or backups of another store. */
  | "BACKUP_PLACE"
  /** Another process writes into the directory. */
  | "BACKUP_BUSY"
  /** What the directory holds is not what was written into it. */
  | "BACKUP_DAMAGED"
  /** The store cannot be read, or changes too fast. */
  | "BACKUP_SOURCE"
  /** The directory to restore into is not empty. */
  | "RESTORE_TARGET"
  /** No space left, or a quota. */
  | "BACKUP_FULL"
  /** A read or a write failed. */
  | "BACKUP_IO";

export class BackupError extends Error {
  override name = "BackupError";
  readonly code: BackupErrorCode;

  constructor(code: BackupErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A failed system call, with what was being done. */
export function backupIoError(what: string, error: unknown): BackupError {
  if (error instanceof BackupError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new BackupError(full ? "BACKUP_FULL" : "BACKUP_IO", `${what}: ${message}`, {
    cause: error,
  });
}
