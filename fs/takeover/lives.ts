/**
 * The processes that serve one mount, one after the other, as their keeper sees them: what each is started with, and
 * what its end means.
 *
 *     starting -- ready --> serving -- dies --> (again, with a delay) starting as a successor
 *                                   -- cannot be taken over --> starting anew, with another device
 *                                   -- dies again and again  --> given up
 *
 * One that dies again and again as soon as it has begun is not waited for any longer: programs get errors.
 * Not here: who waits, and for what (cli/keeper.ts, server/supervisor/).
 */
import { spawn, type ChildProcess } from "node:child_process";
import { abortDetached, abortMount } from "../kernel/mount-command.ts";
import { EXIT_REPLACE, openKept, QUICK_DEATHS_MAX, type Kept } from "./kept.ts";

/** Options of `onespool mount`: it ends when the channel to its starter does, and the starter is a keeper. */
export const servingOptions = {
  whileConnected: "--while-connected",
  kept: "--kept",
  /** With the pid of a predecessor that is dead and not gone. */
  successor: "--successor",
} as const;

export interface Started {
  /** The line that tells what is mounted where. */
  readonly ready: string;
  readonly warnings: readonly string[];
  /** "major:minor" of the file system, where it is known. */
  readonly device?: string | undefined;
}

export interface Failed {
  readonly failure: string;
  readonly exitCode: number;
}

/** What a process that serves a mount tells who has started it: once. */
export type ServingMessage = Started | Failed;

/** What comes after a serving process. */
export type Sequel =
  /** It has unmounted, or found that others have. */
  | "ended"
  | "successor"
  /** The mount is gone, a new one can be made. */
  | "anew"
  /** Nobody is to wait for another one: abort() and close() follow. */
  | "given up";

/** One that has served for so long did not die of what it found when it began. */
const LIFE_MS_MIN = 500;
const DELAY_MS_MIN = 20;
const DELAY_MS_MAX = 10_000;

export class Lives {
  readonly #mountpoint: string;
  #kept: Kept | undefined;
  #device: string | undefined;
  #isSuccessor = false;
  #stuckPid = 0;
  /** In a row, and how many of them were before the mount was given up last. */
  #quickDeaths = 0;
  #quickDeathsBefore = 0;

  constructor(mountpoint: string) {
    this.#mountpoint = mountpoint;
  }

  /** Without this a process serves on its own, and its mount ends with it. Throws what open(2) throws. */
  keep(): void {
    this.#kept ??= openKept();
  }

  /** `command`: `onespool mount` with its arguments. Its directory is this process's own, if `cwd` names no other. */
  spawn(command: readonly string[], cwd?: string): ChildProcess {
    const { whileConnected, kept, successor } = servingOptions;
    const args = [...process.execArgv, ...command, whileConnected];
    if (this.#kept !== undefined) args.push(kept);
    if (this.#isSuccessor) args.push(successor);
    if (this.#isSuccessor && this.#stuckPid !== 0) args.push(`${this.#stuckPid}`);
    return spawn(process.execPath, args, {
      // A terminal's interrupt is for this process, which passes it on.
      detached: true,
      // Its line is printed by this process.
      stdio: ["ignore", "ignore", "inherit", "ipc", ...(this.#kept?.descriptors ?? [])],
      // As in the command's first line, which we did not come through.
      env: { ...process.env, MALLOC_ARENA_MAX: "1" },
      ...(cwd === undefined ? {} : { cwd }),
    });
  }

  ready({ device }: Started): void {
    this.#device = device;
    // The locks that are there now are its own.
    this.#stuckPid = 0;
  }

  /** It is dead and not gone: its successor must not wait for its locks. */
  stuck(pid: number): void {
    this.#stuckPid = pid;
  }

  /** It has ended, or is as good as that, `servedMs` after it was ready. */
  ended(code: number | null, servedMs: number): Sequel {
    this.#quickDeaths = servedMs < LIFE_MS_MIN ? this.#quickDeaths + 1 : 0;
    this.#quickDeathsBefore = Math.min(this.#quickDeathsBefore, this.#quickDeaths);
    if (code === 0) {
      this.close();
      return "ended";
    }
    if (this.#quickDeaths - this.#quickDeathsBefore >= QUICK_DEATHS_MAX) {
      this.#quickDeathsBefore = this.#quickDeaths;
      return "given up";
    }
    if (code === EXIT_REPLACE) {
      // Who has detached it does not want another one in its place.
      const isUnwanted = this.#device !== undefined;
      const isAttached = this.abort();
      this.close();
      return isUnwanted && !isAttached ? "ended" : "anew";
    }
    this.#isSuccessor = this.#kept !== undefined;
    return this.#isSuccessor ? "successor" : "anew";
  }

  /**
   * Programs get errors from now on, whoever else has the device: one that is dead and not gone does. Whether the mount is
   * there to be taken away.
   */
  abort(): boolean {
    const isAttached = abortMount(this.#mountpoint, this.#device);
    const [descriptor] = this.#kept?.descriptors ?? [];
    if (!isAttached && descriptor !== undefined && this.#device !== undefined) {
      abortDetached(descriptor, this.#device);
    }
    return isAttached;
  }

  /** How long to wait with the next one. Programs wait meanwhile. */
  get delayMs(): number {
    // The first one may just have been unlucky.
    if (this.#quickDeaths < 2) return 0;
    return Math.min(DELAY_MS_MIN * 2 ** this.#quickDeaths, DELAY_MS_MAX);
  }

  /** The kernel ends the connection when the process has ended too. */
  close(): void {
    this.#kept?.close();
    this.#kept = undefined;
    this.#device = undefined;
    this.#stuckPid = 0;
    this.#isSuccessor = false;
  }
}
