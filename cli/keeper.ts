/**
 * Keeps a mount up whose serving process dies (fs/takeover/lives.ts), and ends with it: when it is unmounted, when this
 * process is told to, and when it is given up. If the first process fails before it was ready, there is no second one.
 * Not here: the same under `onespool serve` (server/supervisor/).
 */
import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Lives, type ServingMessage, type Started } from "../fs/takeover/lives.ts";
import { watchStuck } from "../fs/takeover/stuck.ts";
import { CommandFailure, EXIT_FAILED, reasonOf } from "./failure.ts";
import { isOnespool, mountAt, readMounts } from "./mountinfo.ts";
import { probe, unmount } from "./unmounting.ts";

const COMMAND = fileURLToPath(new URL("./onespool.js", import.meta.url));
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface KeeperSettings {
  /** Arguments and options of `onespool mount`. */
  readonly args: readonly string[];
  readonly mountpoint: string;
  /** Once, when the mount answers for the first time. */
  readonly onReady: (started: Started) => void;
}

/** How a serving process has ended. */
interface Death {
  readonly code: number | null;
  readonly how: string;
  readonly failure: ServingMessage | undefined;
  readonly servedMs: number;
}

class Keeper {
  readonly #settings: KeeperSettings;
  readonly #lives: Lives;
  #child: ChildProcess | undefined;
  #wasReady = false;
  #isStopping = false;
  readonly #stop = new AbortController();

  constructor(settings: KeeperSettings) {
    this.#settings = settings;
    this.#lives = new Lives(settings.mountpoint);
  }

  /** Resolves with the exit code. Throws CommandFailure when nothing could be mounted. */
  async run(): Promise<number> {
    const listeners = SIGNALS.map((signal) => {
      const listener = (): void => this.#told(signal);
      process.on(signal, listener);
      return { signal, listener };
    });
    try {
      return await this.#keep();
    } finally {
      for (const { signal, listener } of listeners) process.off(signal, listener);
      this.#lives.close();
    }
  }

  async #keep(): Promise<number> {
    for (;;) {
      this.#open();
      const death = await this.#serve();
      const { code, how, failure, servedMs } = death;
      if (!this.#wasReady) {
        await this.#takeAwayDead();
        throw startFailure(death);
      }
      if (this.#isStopping && code !== 0) return this.#giveUp(how, code ?? EXIT_FAILED);
      const sequel = this.#lives.ended(code, servedMs);
      if (sequel === "ended") return 0;
      if (sequel === "given up") return this.#giveUp(how);
      if (sequel === "anew") continue;
      const why = failure !== undefined && "failure" in failure ? failure.failure : how;
      this.#say(`ended unasked (${why}); starting another one`);
      const { signal } = this.#stop;
      await sleep(this.#lives.delayMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return this.#giveUp("ended by a signal while nothing served");
    }
  }

  #open(): void {
    try {
      this.#lives.keep();
    } catch (error) {
      throw new CommandFailure(
        `${reasonOf(error)}; is the fuse module loaded, and the device allowed in this container?`,
      );
    }
  }

  /** One serving process, from its start to its end. */
  #serve(): Promise<Death> {
    const { args, onReady } = this.#settings;
    const child = this.#lives.spawn([COMMAND, "mount", ...args]);
    this.#child = child;
    let failure: ServingMessage | undefined;
    let readyMs = Infinity;
    child.on("message", (value) => {
      const message = value as ServingMessage;
      if ("failure" in message) {
        failure = message;
        return;
      }
      readyMs = performance.now();
      this.#lives.ready(message);
      if (!this.#wasReady) onReady(message);
      this.#wasReady = true;
    });
    return new Promise((resolve) => {
      const ended = (code: number | null, how: string): void => {
        endWatch();
        if (this.#child === child) this.#child = undefined;
        resolve({ code, how, failure, servedMs: Math.max(0, performance.now() - readyMs) });
      };
      const endWatch = watchStuck(child.pid ?? 0, () => {
        this.#lives.stuck(child.pid ?? 0);
        ended(null, "killed, with a thread that waits in the kernel");
      });
      child.once("error", (error) => {
        if (child.pid === undefined) ended(EXIT_FAILED, error.message);
      });
      // Not "exit": its last message may come after that.
      child.once("close", (code, signal) => ended(code, signal ?? `exit code ${code}`));
    });
  }

  #told(signal: NodeJS.Signals): void {
    this.#isStopping = true;
    if (this.#child === undefined) this.#stop.abort();
    else this.#child.kill(signal);
  }

  async #giveUp(how: string, code = EXIT_FAILED): Promise<number> {
    this.#say(`${how}; giving the mount up`);
    if (this.#lives.abort()) {
      await unmount(this.#settings.mountpoint, true).catch(() => undefined);
    }
    return code;
  }

  /** One that was killed may have mounted already. */
  async #takeAwayDead(): Promise<void> {
    const { mountpoint } = this.#settings;
    this.#lives.close();
    const entry = mountAt(readMounts(), mountpoint);
    if (entry === undefined || !isOnespool(entry) || (await probe(mountpoint)) !== "dead") return;
    await unmount(mountpoint, true).catch(() => undefined);
  }

  #say(what: string): void {
    process.stderr.write(`onespool: ${this.#settings.mountpoint}: its process ${what}\n`);
  }
}

function startFailure({ failure, how, code }: Death): CommandFailure {
  if (failure !== undefined && "failure" in failure) {
    return new CommandFailure(failure.failure, failure.exitCode);
  }
  const text = `the process that serves the mount ended before it was ready (${how})`;
  return new CommandFailure(text, code === null || code === 0 ? EXIT_FAILED : code);
}

export function keep(settings: KeeperSettings): Promise<number> {
  return new Keeper(settings).run();
}
