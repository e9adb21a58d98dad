/**
 * Saves mail programs a request for each of their writes.
 *
 * Linux asks for security.capability before a write, and remembers that a file has none (S_NOSEC) until it takes in
 * attributes of it. After a write it asks for the attributes at the next fstat(2), and Dovecot calls that after each
 * write: so each write would be a WRITE, a GETATTR and a GETXATTR. But attributes in a reply to a GETATTR that are
 * older than a notification are given to the caller alone and not taken in. So the kernel is notified of a change right before
 * it gets them, when nothing but its own writes has changed the file: then it knows the size by itself, and asks
 * for the rest each time anyway, as it does after any write.
 *
 * The kernel does not take in attributes either that come while a write ends. So after a change behind its back
 * several replies must have told it of that before one may be made out of date; should it have missed all of
 * them, because two programs write at once, then it learns the new size from the first GETATTR without a write
 * in front of it. Alternatives: docs/decisions/014-fewer-requests-for-a-write.md.
 */

/** Replies with which the kernel surely learns of a change by somebody else. */
const REPLIES_MIN = 2;
/** Inodes that are remembered. Forgetting them costs requests only. */
const INODES_MAX = 4096;

export class OwnWrites {
  /** Replies to GETATTR since the last change behind the kernel's back, REPLIES_MIN at most. */
  readonly #replies = new Map<number, number>();
  /** Written to since the last GETATTR. */
  readonly #written = new Set<number>();

  /** A WRITE of the kernel is answered, and the bytes went where it believes. */
  wrote(ino: number): void {
    this.#written.add(ino);
    if (this.#written.size > INODES_MAX) this.#written.clear();
  }

  /** Something else than a request of the kernel changed the inode, or the kernel forgets it. */
  forget(ino: number): void {
    this.#replies.delete(ino);
    this.#written.delete(ino);
  }

  /** A GETATTR is answered: whether the kernel is to be notified before. */
  shouldOutdate(ino: number): boolean {
    const replies = this.#replies.get(ino) ?? 0;
    if (replies < REPLIES_MIN) {
      this.#replies.set(ino, replies + 1);
      if (this.#replies.size > INODES_MAX) this.#replies.clear();
      this.#written.delete(ino);
      return false;
    }
    return this.#written.delete(ino);
  }
}
