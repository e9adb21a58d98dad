/** What a handler gives back: the reply's body length, an errno, or that it has to wait first. */
import type { Errno } from "../../base/errno.ts";
import type { Reply } from "./reply.ts";
import type { Request } from "./request.ts";
import type { Session } from "./session.ts";

/** Tells the operation that nobody wants to wait any longer; it then ends the wait itself, with EINTR. */
export type Interrupt = () => void;

/** A request that waits. The encoder runs in the same turn in which its reply is sent. */
export class Waiting {
  readonly encoder: Promise<() => Errno | number>;
  /**
   * undefined: an INTERRUPT changes nothing. So it is for all that ends by itself: an fsync or a deliver whose
   * outcome is decided, a read of the control file, which would lose the reply that it took out, and a read of
   * a file or directory, of which no program expects EINTR.
   */
  readonly interrupt: Interrupt | undefined;

  constructor(encoder: Promise<() => Errno | number>, interrupt: Interrupt | undefined) {
    this.encoder = encoder;
    this.interrupt = interrupt;
  }
}

/** >= 0: bytes of body in the reply; < 0: an errno. */
export type Outcome = Errno | number | Waiting;

export type Handler = (session: Session, request: Request, reply: Reply) => Outcome;

/** Encodes what an operation returned, now or when it is there. */
export function whenDone<T>(
  soon: T | Promise<T>,
  encode: (value: T) => Errno | number,
  interrupt?: Interrupt,
): Outcome {
  if (!(soon instanceof Promise)) return encode(soon);
  return new Waiting(
    soon.then((value) => () => encode(value)),
    interrupt,
  );
}
