/** What a handler gives back: the reply's body length, an errno, or that it has to wait first. */
import type { Errno } from "../../base/errno.ts";
import type { Reply } from "./reply.ts";
import type { Request } from "./request.ts";
import type { Session } from "./session.ts";

/**
 * What an INTERRUPT does to a request that waits:
 * - "finish": nothing, its outcome is decided or cannot be undone (fsync, a deliver, a lock's unlock);
 * - "answer": EINTR at once, the outcome is thrown away, for it changes nothing;
 * - a function: tells the operation, which then ends the wait itself.
 */
export type OnInterrupt = "finish" | "answer" | (() => void);

/** A request that waits. The encoder runs in the same turn in which its reply is sent. */
export class Waiting {
  readonly encoder: Promise<() => Errno | number>;
  readonly onInterrupt: OnInterrupt;

  constructor(encoder: Promise<() => Errno | number>, onInterrupt: OnInterrupt) {
    this.encoder = encoder;
    this.onInterrupt = onInterrupt;
  }
}

/** >= 0: bytes of body in the reply; < 0: an errno. */
export type Outcome = Errno | number | Waiting;

export type Handler = (session: Session, request: Request, reply: Reply) => Outcome;

/** Encodes what an operation returned, now or when it is there. */
export function whenDone<T>(
  soon: T | Promise<T>,
  encode: (value: T) => Errno | number,
  onInterrupt: OnInterrupt = "finish",
): Outcome {
  if (!(soon instanceof Promise)) return encode(soon);
  return new Waiting(
    soon.then((value) => () => encode(value)),
    onInterrupt,
  );
}
