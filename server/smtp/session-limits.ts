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
/** A connection that has just begun to send may be slow. */
const DATA_GRACE_MS = 10_000;

export class SessionLimits {
  #errors: number;
  #idleCommands: number;
  #messages: number;

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

  message(): void {
    this.#messages++;
    this.#idleCommands = 0;
  }
}

/** `bytes` came in `ms` of DATA. */
export function isTooSlow(bytes: number, ms: number, limits: Limits): boolean {
  if (ms <= DATA_GRACE_MS) return false;
  return bytes < ((ms - DATA_GRACE_MS) / 1000) * limits.dataBytesPerSecondMin;
}
