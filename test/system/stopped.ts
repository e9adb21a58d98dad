/**
 * A program that is held in the middle of what it does to a file: strace(1) stops it when it has made a system call
 * on that file for the Nth time, so a test need not hit a moment. The program goes on when it is told to.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { missingProgram } from "./command.ts";

const WAIT_MS_MAX = 30_000;

export interface StopPoint {
  /** strace's name of the call. */
  readonly call: string;
  /** The Nth one that names the file or a descriptor of it. */
  readonly when: number;
  readonly path: string;
}

/** Why no program can be held here; undefined when one can. */
export function missingForStops(): string | undefined {
  if (process.getuid!() !== 0) return "stopping a program of another user needs root";
  return missingProgram("strace");
}

export class StoppedProgram {
  readonly pid: number;
  readonly #tracer: ChildProcess;
  #said = "";
  #wake: () => void = () => undefined;

  private constructor(pid: number, tracer: ChildProcess) {
    this.pid = pid;
    this.#tracer = tracer;
    tracer.stderr!.setEncoding("latin1").on("data", (text: string) => {
      this.#said += text;
      this.#wake();
    });
    tracer.on("exit", () => this.#wake());
  }

  /** Resolves when the program, which goes on meanwhile, will be stopped at this point. The caller ends it. */
  static async prepare(pid: number, point: StopPoint): Promise<StoppedProgram> {
    const { call, when, path } = point;
    const inject = `inject=${call}:signal=SIGSTOP:when=${when}`;
    const args = ["-p", String(pid), "-P", path, "-e", `trace=${call}`, "-e", inject];
    const tracer = spawn("strace", args, { cwd: "/", stdio: ["ignore", "ignore", "pipe"] });
    const stopped = new StoppedProgram(pid, tracer);
    await stopped.#says(/ attached$/m);
    return stopped;
  }

  /** Resolves when it stands still. */
  async stopped(): Promise<void> {
    await this.#says(/^--- stopped by SIGSTOP ---$/m);
  }

  get isStopped(): boolean {
    return /^State:\t[Tt]/m.test(readFileSync(`/proc/${this.pid}/status`, "latin1"));
  }

  resume(): void {
    process.kill(this.pid, "SIGCONT");
  }

  /** It is left alone from now on, and goes on if it still runs. */
  async end(): Promise<void> {
    if (this.#tracer.exitCode === null && this.#tracer.signalCode === null) {
      const gone = once(this.#tracer, "exit");
      this.#tracer.kill("SIGTERM");
      await gone;
    }
    try {
      this.resume();
    } catch {
      // It has ended.
    }
  }

  async #says(pattern: RegExp): Promise<void> {
    const deadline = Date.now() + WAIT_MS_MAX;
    while (!pattern.test(this.#said)) {
      const left = deadline - Date.now();
      if (left <= 0 || this.#tracer.exitCode !== null) {
        throw new Error(`strace never said ${pattern}: ${this.#said}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** The processes whose program has this name and whose command line has this word. */
export function processesOf(name: string, word: string): number[] {
  const found: number[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (readFileSync(`/proc/${entry}/comm`, "latin1").trim() !== name) continue;
      const words = readFileSync(`/proc/${entry}/cmdline`, "latin1").split("\0");
      if (words.includes(word)) found.push(Number(entry));
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}
