/**
 * Keeps a mount up whose serving process dies: holds the device and what is noted beside it (fs/takeover/kept.ts), and
 * starts a successor, which goes on with both.
 *
 *     starting -- ready --> serving -- dies --> waiting -- delay --> starting
 *
 * It ends with the mount: when that is unmounted, when it is told to, and when the process dies again and again as soon as
 * it has begun to serve; then the mount goes, so that programs get errors instead of waiting for ever. If the first
 * process fails before it was ready, there is no second one.
 * Not here: the same under `onespool serve` (server/supervisor/).
 */
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { abortMount } from "../fs/kernel/mount-command.ts";
import { EXIT_REPLACE, openKept, QUICK_DEATHS_MAX, type Kept } from "../fs/takeover/kept.ts";
import { watchStuck } from "../fs/takeover/stuck.ts";
import { CommandFailure, EXIT_FAILED, reasonOf } from "./failure.ts";
import type { Message, Started } from "./mount-daemon.ts";
import { unmount } from "./unmounting.ts";

const COMMAND = fileURLToPath(new URL("./onespool.js", import.meta.url));
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** One that has served for so long did not die of what it found when it began. */
const LIFE_MS_MIN = 500;
const DELAY_MS_MIN = 20;

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
  readonly failure: Message | undefined;
  readonly isQuick: boolean;
  /** Dead, and not gone: its successor must not wait for its locks. */
  readonly stuckPid: number;
}

class Keeper {
  readonly #settings: KeeperSettings;
  #kept: Kept;
  #child: ChildProcess | undefined;
  #wasReady = false;
  #isStopping = false;
  readonly #stop = new AbortController();

  constructor(settings: KeeperSettings) {
    this.#settings = settings;
    this.#kept = this.#open();
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
      this.#kept.close();
    }
  }

  async #keep(): Promise<number> {
    let quickDeaths = 0;
    let stuckPid = 0;
    for (let isSuccessor = false; ;) {
      const death = await this.#serve(isSuccessor, stuckPid);
      stuckPid = death.stuckPid;
      const { code, how, failure } = death;
      if (!this.#wasReady) throw startFailure(death);
      if (code === 0) return 0;
      if (this.#isStopping) return this.#giveUp(how, code ?? EXIT_FAILED);
      if (code === EXIT_REPLACE) {
        this.#kept.close();
        this.#kept = this.#open();
        isSuccessor = false;
        continue;
      }
      isSuccessor = true;
      quickDeaths = death.isQuick ? quickDeaths + 1 : 0;
      if (quickDeaths >= QUICK_DEATHS_MAX) return this.#giveUp(how);
      const why = failure !== undefined && "failure" in failure ? failure.failure : how;
      this.#say(`ended unasked (${why}); starting another one`);
      const delayMs = quickDeaths === 0 ? 0 : DELAY_MS_MIN * 2 ** quickDeaths;
      await sleep(delayMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      if (this.#stop.signal.aborted) return this.#giveUp("ended by a signal while nothing served");
    }
  }

  #open(): Kept {
    try {
      return openKept();
    } catch (error) {
      throw new CommandFailure(
        `${reasonOf(error)}; is the fuse module loaded, and the device allowed in this container?`,
      );
    }
  }

  /** One serving process, from its start to its end. */
  #serve(isSuccessor: boolean, stuckPid: number): Promise<Death> {
    const { args, onReady } = this.#settings;
    const kept = ["--while-connected", "--kept"];
    if (isSuccessor) kept.push("--successor", ...(stuckPid === 0 ? [] : [`${stuckPid}`]));
    const child = spawn(
      process.execPath,
      [...process.execArgv, COMMAND, "mount", ...args, ...kept],
      {
        // A terminal's interrupt is for this process, which passes it on.
        detached: true,
        stdio: ["ignore", "ignore", "inherit", "ipc", ...this.#kept.descriptors],
        env: { ...process.env, MALLOC_ARENA_MAX: "1" },
      },
    );
    this.#child = child;
    let failure: Message | undefined;
    let readyMs: number | undefined;
    child.on("message", (value) => {
      const message = value as Message;
      if ("failure" in message) {
        failure = message;
        return;
      }
      readyMs = performance.now();
      if (!this.#wasReady) onReady(message);
      this.#wasReady = true;
    });
    return new Promise((resolve) => {
      const ended = (code: number | null, how: string, stuck = 0): void => {
        endWatch();
        if (this.#child === child) this.#child = undefined;
        const isQuick = readyMs === undefined || performance.now() - readyMs < LIFE_MS_MIN;
        resolve({ code, how, failure, isQuick, stuckPid: stuck });
      };
      const endWatch = watchStuck(child.pid ?? 0, () => {
        ended(null, "killed, with a thread that waits in the kernel", child.pid);
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
    abortMount(this.#settings.mountpoint);
    await unmount(this.#settings.mountpoint, true).catch(() => undefined);
    return code;
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
