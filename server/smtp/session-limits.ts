/** What a session has used up of what it may: counters without a clock or a socket. */
import type { Limits } from "../config/config.ts";
import type { Reason } from "./replies.ts";

/** As plain data, for a hand-over. */
export interface SessionCounts {
  readonly errors: number;
  readonly idleCommands: number;
  readonly messages: number;
}

/** Commands that bring a message forward; all others are idle ones. */
const WORKING = new Set(["RCPT", "DATA", "QUIT"]);
/** Recipients beyond the limit that are refused without being held against a client (RFC 5321 section 4.5.3.1.10). */
const OVERSHOOT_MAX = 1_000;

export class SessionLimits {
  #errors: number;
  #idleCommands: number;
  #messages: number;
  #overshot = 0;

  constructor(counts: SessionCounts = { errors: 0, idleCommands: 0, messages: 0 }) {
    this.#errors = counts.errors;
    this.#idleCommands = counts.idleCommands;
    this.#messages = counts.messages;
  }

  get counts(): SessionCounts {
    return { errors: this.#errors, idleCommands: this.#idleCommands, messages: this.#messages };
  }

  get messages(): number {
    return this.#messages;
  }

  get errors(): number {
    return this.#errors;
  }

  /** `name` in upper case. A reason: the session ends before the command is looked at. */
  command(name: string, limits: Limits): Reason | undefined {
    if (name === "MAIL" && this.#messages >= limits.messagesMax) return "tooManyMessages";
    if (WORKING.has(name)) return undefined;
    this.#idleCommands++;
    return this.#idleCommands > limits.idleCommandsMax ? "tooManyIdleCommands" : undefined;
  }

  /** An error was answered: "end" of the session, "slow" down, or neither. */
  error(limits: Limits, isStress: boolean): "end" | "slow" | undefined {
    this.#errors++;
    if (this.#errors >= (isStress ? limits.stressErrorsHard : limits.errorsHard)) return "end";
    return this.#errors > limits.errorsSoft ? "slow" : undefined;
  }

  /** One recipient too many: whether it is an error. */
  overshoot(): boolean {
    return ++this.#overshot > OVERSHOOT_MAX;
  }

  message(): void {
    this.#messages++;
    this.#idleCommands = 0;
  }
}

/** What a client owes, seen from outside. */
export interface Waiting {
  /** Since the session began. */
  readonly sessionMs: number;
  /** Since the client has owed a command, a handshake, or the reading of our replies. */
  readonly waitedMs: number;
  /** It owes none of these now: we are at work, or content comes, which has a rate of its own. */
  readonly isOwedNothing: boolean;
  /** It has sent a message and not begun another one. */
  readonly isUnused: boolean;
}

/** Why a session has to end now. */
export function overdue(
  { sessionMs, waitedMs, isOwedNothing, isUnused }: Waiting,
  limits: Limits,
  isStress: boolean,
): Reason | undefined {
  if (sessionMs > limits.sessionMs) return "sessionTimeout";
  if (isOwedNothing) return undefined;
  const commandMs = isStress ? limits.stressCommandMs : limits.commandMs;
  if (isUnused && waitedMs > Math.min(limits.unusedMs, commandMs)) return "unused";
  return waitedMs > commandMs ? "commandTimeout" : undefined;
}
