/**
 * One process that is kept running: started, listened to, started again with back-off when it ends unasked.
 *
 *     starting -- its word "ready" --> serving -- it ends --> waiting -- delay --> starting
 *
 * If it fails before it was ready for the first time, it is not started again: then something is wrong with
 * what it was told. `finish` leads out of every state.
 */
import type { ChildProcess } from "node:child_process";
import { watchStuck } from "../../fs/takeover/stuck.ts";
import type { Log } from "../log/log.ts";
import { BackOff } from "../process/back-off.ts";
import type { Clock } from "./clock.ts";
import { StartFailure } from "./start-failure.ts";

/** What a message of the process means here; undefined: nothing to this file. */
export type Word =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly message: string; readonly exitCode: number }
  | undefined;

export interface Keeping {
  readonly name: "front" | "spool";
  /** As the leader of a process group of its own, with a channel. */
  readonly spawn: () => ChildProcess;
  readonly hear: (message: unknown) => Word;
  /** It ended, `servedMs` after it was ready; called for the last time too. */
  readonly onEnded: (code: number | null, servedMs: number) => void;
  /** It will be started again. */
  readonly onRestart: () => void;
  /** How long to wait after a life; it counts from the start, or with this one from the moment it was ready. */
  readonly backOff?: Pick<BackOff, "delayAfter">;
  /** It was killed and is not gone: a thread waits in the kernel for what only a successor does. */
  readonly onStuck?: (pid: number) => void;
}

const EXIT_FAILED = 1;

export class KeptProcess {
  readonly #keeping: Keeping;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #backOff: Pick<BackOff, "delayAfter">;
  #child: ChildProcess | undefined;
  #startedAt = 0;
  #readyAt: number | undefined;
  #wanted = true;
  #wasReady = false;
  #cancelRestart: (() => void) | undefined;
  #settle: { ready: () => void; fail: (error: StartFailure) => void } | undefined;
  readonly #finished: Promise<boolean>;
  #finish: (isClean: boolean) => void = () => undefined;

  constructor(keeping: Keeping, log: Log, clock: Clock) {
    this.#keeping = keeping;
    this.#backOff = keeping.backOff ?? new BackOff();
    this.#log = log;
    this.#clock = clock;
    this.#finished = new Promise((finish) => (this.#finish = finish));
  }

  /** Resolves when the process is ready; rejects with StartFailure if it fails before. Once. */
  start(): Promise<void> {
    return new Promise((ready, fail) => {
      this.#settle = { ready, fail };
      this.#spawn();
    });
  }

  /** Nothing if it does not run now. */
  send(message: object): void {
    const child = this.#running;
    // It may end at any moment; its end is told by its "exit".
    if (child?.connected === true) child.send(message, () => undefined);
  }

  signal(signal: NodeJS.Signals): void {
    this.#running?.kill(signal);
  }

  /** Its own children too. */
  killGroup(): void {
    const pid = this.#running?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      this.signal("SIGKILL");
    }
  }

  /** It is not started again from here on; resolves when it has ended: whether with exit code 0. Ask it to end by a message or signal after this. */
  finish(): Promise<boolean> {
    this.#wanted = false;
    this.#cancelRestart?.();
    if (this.#child === undefined) this.#finish(!this.#wasReady);
    return this.#finished;
  }

  /** Ever. */
  get wasReady(): boolean {
    return this.#wasReady;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** One that has ended has no process id that could still be trusted. */
  get #running(): ChildProcess | undefined {
    const child = this.#child;
    return child?.exitCode === null && child.signalCode === null ? child : undefined;
  }

  #spawn(): void {
    this.#startedAt = this.#clock.now();
    this.#readyAt = undefined;
    const child = this.#keeping.spawn();
    this.#child = child;
    const { onStuck } = this.#keeping;
    if (onStuck !== undefined && child.pid !== undefined) this.#watch(child, child.pid, onStuck);
    child.on("message", (message) => this.#heard(this.#keeping.hear(message)));
    // Not "exit": its last messages may come after that.
    child.once("close", (code, signal) => {
      if (child.pid !== undefined && child === this.#child)
        this.#ended(signal ?? `exit code ${code}`, code);
    });
    child.once("error", (error) => {
      if (child.pid === undefined) this.#ended(error.message, null);
    });
  }

  #watch(child: ChildProcess, pid: number, onStuck: (pid: number) => void): void {
    const endWatch = watchStuck(pid, () => {
      if (child !== this.#child) return;
      onStuck(pid);
      this.#ended("killed, with a thread that waits in the kernel", null);
    });
    child.once("close", endWatch);
  }

  #heard(word: Word): void {
    if (word === undefined) return;
    if (word.kind === "ready") {
      this.#wasReady = true;
      this.#readyAt = this.#clock.now();
      this.#log.info("ready", { of: this.#keeping.name, child: this.#child?.pid });
      this.#settle?.ready();
      return;
    }
    this.#log.error("failed", { of: this.#keeping.name, reason: word.message });
    const failure = new StartFailure(word.message, word.exitCode);
    this.#settle?.fail(failure);
  }

  #ended(how: string, code: number | null): void {
    const { name, onEnded, onRestart } = this.#keeping;
    const pid = this.#child?.pid;
    this.#child = undefined;
    const servedMs = this.#readyAt === undefined ? 0 : this.#clock.now() - this.#readyAt;
    onEnded(code, servedMs);
    if (!this.#wanted || !this.#wasReady) {
      this.#wanted = false;
      this.#settle?.fail(
        new StartFailure(`the ${name} process ended before it was ready (${how})`, EXIT_FAILED),
      );
      this.#finish(code === 0);
      return;
    }
    const livedMs =
      this.#keeping.backOff === undefined ? this.#clock.now() - this.#startedAt : servedMs;
    const delayMs = this.#backOff.delayAfter(livedMs);
    this.#log.error("ended unasked", { of: name, child: pid, how, restartMs: delayMs });
    onRestart();
    this.#cancelRestart = this.#clock.after(delayMs, () => {
      this.#cancelRestart = undefined;
      this.#spawn();
    });
  }
}
