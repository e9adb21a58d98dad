/**
 * Tells programs that watch a file with inotify of changes that hints have made: keeps the files whose turn will come,
 * and the process that raises the events (child.ts).
 *
 *     changed() ─► tick: files are due ─► wake: a line to the process ─► it asks: next(), take(), next(), ...
 *                                                                        until next() is 0: it sleeps
 *
 * The process is started with the first event and, when it dies, again at the earliest after a pause that grows. Files
 * wait meanwhile. Its number cannot be another process's as long as it stands here: the kernel gives it away
 * again after our wait(2) for the dead child only, and Node tells of that in the same turn.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert } from "../../../base/assert.ts";
import { isErrno } from "../../../base/errno.ts";
import { isRegular } from "../../attributes.ts";
import type { Operations } from "../../operations.ts";
import { HERALD_NAME } from "../../files/control.ts";
import { heraldFile } from "./requests.ts";
import { EventQueue, TICK_MS } from "./queue.ts";

/** A pid that no request has: those that come from no process have 0. */
const noProcess = -1;
/** The process looks a file up twice before it opens it. */
const lookupsMax = 4;
/** Files are due, and the process does not ask for them. */
const silenceMsMax = 10_000;
/** Of the event loop's time, 0 to 1. */
const busyUtilization = 0.5;
/** How long the process may take to end by itself. */
const endMsMax = 1000;
const pauseMsMin = 100;
const pauseMsMax = 60_000;
/** One that lived so long ended for a new reason. */
const lifeMsMin = 60_000;

export interface HeraldOptions {
  readonly directory: string;
  /** Of the mount, as stat(2) gives it. */
  readonly device: number;
  readonly onWarning: (message: string) => void;
  readonly onStarted?: ((pid: number) => void) | undefined;
}

/** What it needs to know of the kernel's inodes. */
export interface HeraldSession {
  readonly operations: Pick<Operations, "getAttributes">;
  knows(ino: number): boolean;
  wasOpened(ino: number): boolean;
}

export class Herald {
  /** Whoever asks under this number is the process. */
  pid = noProcess;
  readonly #session: HeraldSession;
  readonly #options: HeraldOptions;
  readonly #queue: EventQueue;
  #process: ChildProcess | undefined;
  #startedMs = 0;
  #pauseMs = pauseMsMin;
  /** Not before this time. */
  #startMs = 0;
  #warned = false;
  #utilization = performance.eventLoopUtilization();
  #timer: NodeJS.Timeout | undefined;
  #isPaused = false;
  /** It was woken and has not yet heard that there is nothing more. */
  #isAwake = false;
  #heardMs = 0;
  /** Of the file whose turn it is. */
  #lookups = 0;

  constructor(session: HeraldSession, options: HeraldOptions) {
    this.#session = session;
    this.#options = options;
    this.#queue = new EventQueue((ino) => session.wasOpened(ino));
  }

  /** The kernel knows the file, which has other bytes now and no system call wrote them. */
  changed(ino: number): void {
    this.#queue.changed(ino);
    if (!this.#isPaused) this.#startTicks();
  }

  /** The file whose watchers are to be told; 0: none now. */
  next(): number {
    this.#heardMs = performance.now();
    for (;;) {
      const ino = this.#isPaused ? 0 : this.#queue.head();
      if (ino === 0) {
        this.#isAwake = false;
        return 0;
      }
      this.#lookups += 1;
      if (this.#lookups <= lookupsMax && this.#canBeWatched(ino)) return ino;
      this.#queue.drop();
      this.#lookups = 0;
    }
  }

  /** False when it is not this file's turn. */
  take(ino: number): boolean {
    if (ino !== this.#queue.head() || ino === 0) return false;
    this.#queue.take(performance.now());
    this.#lookups = 0;
    return true;
  }

  /** Resolves when the process is gone. No other is started, whatever changes, until resume(). */
  async pause(): Promise<void> {
    this.#isPaused = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    const child = this.#process;
    if (child === undefined) return;
    const exited = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", () => resolve());
    });
    child.ref();
    child.stdin?.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), endMsMax);
    await exited;
    clearTimeout(timer);
  }

  /** After a pause: what has changed meanwhile is told of now. */
  resume(): void {
    this.#isPaused = false;
    if (!this.#queue.isIdle) this.#startTicks();
  }

  #startTicks(): void {
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  #canBeWatched(ino: number): boolean {
    if (!this.#session.knows(ino)) return false;
    const attributes = this.#session.operations.getAttributes(ino);
    return !isErrno(attributes) && isRegular(attributes.mode) && attributes.nlink > 0;
  }

  #tick(): void {
    const now = performance.now();
    const utilization = performance.eventLoopUtilization();
    const since = performance.eventLoopUtilization(utilization, this.#utilization);
    this.#utilization = utilization;
    this.#queue.tick(now, since.utilization > busyUtilization);
    if (this.#queue.isReady) this.#wake(now);
    else if (this.#queue.isIdle) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #wake(now: number): void {
    if (this.#process === undefined) {
      if (now >= this.#startMs) this.#start(now);
    } else if (!this.#isAwake) {
      this.#isAwake = true;
      this.#heardMs = now;
      this.#process.stdin?.write("\n");
    } else if (now - this.#heardMs > silenceMsMax) {
      this.#heardMs = now;
      this.#process.kill("SIGKILL");
    }
  }

  /** In a session of its own: an interrupt from a terminal is for the server. */
  #start(now: number): void {
    assert(!this.#isPaused, "no process is started while there is to be none");
    const { directory, device } = this.#options;
    const path = join(directory, HERALD_NAME, heraldFile);
    // By its built name: a URL is not rewritten by the compiler.
    const file = fileURLToPath(new URL("./child.js", import.meta.url));
    const args = ["--max-old-space-size=32", file, path, String(device)];
    const child = spawn(process.execPath, args, {
      cwd: "/",
      env: { MALLOC_ARENA_MAX: "1" },
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.unref();
    child.stdin.on("error", () => undefined);
    child.once("error", (error) => this.#ended(child, error.message));
    child.once("exit", (code, signal) => this.#ended(child, signal ?? `exit code ${code}`));
    this.#process = child;
    this.#startedMs = now;
    this.pid = child.pid ?? noProcess;
    // Before it is told to ask for anything.
    if (child.pid !== undefined) this.#options.onStarted?.(child.pid);
    this.#isAwake = true;
    this.#heardMs = now;
    child.stdin.write("\n");
  }

  #ended(child: ChildProcess, reason: string): void {
    if (this.#process !== child) return;
    this.#process = undefined;
    this.pid = noProcess;
    this.#isAwake = false;
    this.#lookups = 0;
    if (this.#isPaused) return;
    const now = performance.now();
    if (now - this.#startedMs >= lifeMsMin) {
      this.#pauseMs = pauseMsMin;
      this.#warned = false;
    }
    this.#startMs = now + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, pauseMsMax);
    if (this.#warned) return;
    this.#warned = true;
    this.#options.onWarning(
      `the process that tells programs of new mail has ended (${reason}); it will be started again`,
    );
  }
}
