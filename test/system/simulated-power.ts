/**
 * The power of a simulated machine, which its disk and its index share. Every call that changes what is stored
 * is a point, counted from 1; at the point that was chosen the machine goes off, and from there on every
 * call fails. Calls can also be made to fail while the machine stays on (`failAt`).
 */

/** What the machine throws when it is off. */
export class PowerCut extends Error {
  override name = "PowerCut";
  readonly code = "EPOWER";
}

export type SimulatedCall =
  | "open"
  | "write"
  | "truncate"
  | "fdatasync"
  | "fsync"
  | "syncDirectory"
  | "rename"
  | "unlink"
  | "makeDirectory"
  | "read"
  | "index write"
  | "index remove";

export interface Failure {
  readonly call: SimulatedCall;
  readonly code: "EIO" | "ENOSPC" | "EDQUOT" | "EROFS";
  /** Of the calls from now on, which one is the first to fail (1: the next one). */
  readonly from?: number;
  /** How many fail; default: all from there on. */
  readonly count?: number;
  /** Only calls on paths that end so. */
  readonly pathEnd?: string;
}

export class SimulatedPower {
  /** Points so far. */
  points = 0;
  /** The call of the last point, for messages. */
  lastCall = "";
  off = false;
  readonly #cutAt: number;
  readonly #failures: { failure: Failure; calls: number }[] = [];

  /** `cutAt`: the point at which the machine goes off. */
  constructor(cutAt = Infinity) {
    this.#cutAt = cutAt;
  }

  /**
   * To be called at a point. `effect` is what the call leaves unsynced: it takes place also when the machine goes
   * off here, and is then lost or not like everything unsynced.
   */
  point(call: SimulatedCall, path: string, effect?: () => void): void {
    this.live();
    this.points++;
    this.lastCall = `${call} ${path}`;
    this.mayFail(call, path);
    effect?.();
    if (this.points >= this.#cutAt) this.cut();
    this.live();
  }

  /** Throws when the machine is off. */
  live(): void {
    if (this.off) throw new PowerCut(`the power went at point ${this.points}: ${this.lastCall}`);
  }

  cut(): void {
    this.off = true;
  }

  failAt(failure: Failure): void {
    this.#failures.push({ failure, calls: 0 });
  }

  /** What was to fail does not any more. */
  heal(): void {
    this.#failures.length = 0;
  }

  mayFail(call: SimulatedCall, path: string): void {
    for (const entry of this.#failures) {
      const { failure } = entry;
      if (failure.call !== call || !path.endsWith(failure.pathEnd ?? "")) continue;
      entry.calls++;
      const first = failure.from ?? 1;
      if (entry.calls < first || entry.calls >= first + (failure.count ?? Infinity)) continue;
      throw systemError(failure.code, call, path);
    }
  }
}

export function systemError(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${call} ${path}`), { code });
}
