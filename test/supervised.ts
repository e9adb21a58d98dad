/** A supervisor in a process of its own and what can be seen of it, for the tests. */
import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isOnespool, mountAt, readMounts } from "../cli/mountinfo.ts";
import { run } from "./cli-process.ts";

interface Tap {
  teardown(done: () => Promise<void>): unknown;
}

export interface Place {
  readonly directory: string;
  readonly store: string;
  readonly mount: string;
}

/** Whatever is mounted at its mount at the end is taken away. */
export function place(t: Tap): Place {
  const directory = mkdtempSync(join(tmpdir(), "onespool-serve-"));
  const mount = join(directory, "mail");
  // The account of front and workers has to reach its log.
  chmodSync(directory, 0o711);
  mkdirSync(mount);
  t.teardown(async () => {
    if (isMounted(mount)) await run("umount", "-i", "-c", "-l", mount);
    rmSync(directory, { recursive: true, force: true });
  });
  return { directory, store: join(directory, "store"), mount };
}

export function isMounted(mount: string): boolean {
  const entry = mountAt(readMounts(), mount);
  return entry !== undefined && isOnespool(entry);
}

/** Running processes of which the command line has the text, e.g. the path of a mount. */
export function processesWith(text: string): number[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      const line = /^\d+$/.test(name) ? readFileSync(`/proc/${name}/cmdline`, "utf8") : "";
      return line.includes(text) ? [Number(name)] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

/** "" if it has gone. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

export function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

const PATIENCE_MS = 30_000;

/** Until it holds; a test that waits longer has failed. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`);
    await sleep(20);
  }
}

export class Supervised {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly #ended: Promise<[number | null, string | null]>;

  constructor(t: Tap, program: string, args: readonly string[], options: SpawnOptions = {}) {
    this.child = spawn(process.execPath, [program, ...args], { ...options, stdio: "pipe" });
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.#ended = once(this.child, "exit") as Promise<[number | null, string | null]>;
    t.teardown(async () => {
      if (!isRunning(this.pid)) return;
      this.child.kill("SIGKILL");
      await this.#ended;
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** The exit code. */
  async end(): Promise<number | null> {
    const [code] = await this.#ended;
    return code;
  }

  /** Until its output has the text; throws if it ends before. */
  async says(text: string): Promise<void> {
    await until(`it says ${JSON.stringify(text)}`, () => {
      if (this.stdout.includes(text)) return true;
      if (!isRunning(this.pid)) throw new Error(`it has ended: ${this.stdout}${this.stderr}`);
      return false;
    });
  }

  /** The one child whose command line has the text; 0 if there is none. */
  childWith(text: string): number {
    const found = childrenOf(this.pid).filter((pid) => commandLine(pid).includes(text));
    return found[0] ?? 0;
  }
}

export function writeJson(file: string, value: unknown): void {
  writeFileSync(file, JSON.stringify(value));
}
