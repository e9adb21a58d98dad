/** One `onespool mount` in a process of its own. */
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { killGroup, run, start } from "./children.ts";
import type { Native } from "./native.ts";
import { childrenOf, processorTicksOf } from "./process-counters.ts";

const READY_TIMEOUT_MS = 180_000;
const END_TIMEOUT_MS = 180_000;
const STATISTICS_TIMEOUT_MS = 60_000;
const SETTLE_TIMEOUT_MS = 20_000;

/** What the kernel has counted for the process until its end. */
export interface Account {
  readonly writtenBytes: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly residentBytesMax: number;
}

const mounted = new Set<SpoolProcess>();

const commandLine = join(dirname(fileURLToPath(import.meta.url)), "..", "cli", "onespool.js");

export class SpoolProcess {
  /** Of the process that serves the mount. */
  readonly pid: number;
  readonly mountpoint: string;
  /** From the start of the process to the line that says that the mount answers. */
  readonly readyMs: number;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  readonly #keeperPid: number;
  readonly #report: string;

  private constructor(
    child: ChildProcess,
    ended: Promise<number | null>,
    keeperPid: number,
    pid: number,
    mountpoint: string,
    readyMs: number,
    report: string,
  ) {
    this.#child = child;
    this.#ended = ended;
    this.#keeperPid = keeperPid;
    this.pid = pid;
    this.mountpoint = mountpoint;
    this.readyMs = readyMs;
    this.#report = report;
    mounted.add(this);
  }

  static async start(
    native: Native,
    store: string,
    mountpoint: string,
    binding: string,
  ): Promise<SpoolProcess> {
    mkdirSync(mountpoint, { recursive: true });
    const report = `${store}.account`;
    const nodeOptions = (process.env["ONESPOOL_BENCH_NODE"] ?? "").split(" ").filter(Boolean);
    // What the command's first line sets when it is started by its name.
    process.env["MALLOC_ARENA_MAX"] = "1";
    const began = performance.now();
    const child = start(native.path("account"), [
      report,
      process.execPath,
      ...nodeOptions,
      commandLine,
      "mount",
      store,
      mountpoint,
      "--binding",
      binding,
    ]);
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    await firstLine(child, ended);
    const readyMs = performance.now() - began;
    // The one that keeps the mount, and the one that serves it.
    const keeperPid = childrenOf(child.pid ?? 0)[0];
    const pid = keeperPid === undefined ? undefined : childrenOf(keeperPid)[0];
    if (keeperPid === undefined || pid === undefined) {
      throw new Error("onespool mount left no serving process behind");
    }
    return new SpoolProcess(child, ended, keeperPid, pid, mountpoint, readyMs, report);
  }

  /** Returns when the process has done what it had put off: it uses (nearly) no processor for half a second. */
  async settle(): Promise<void> {
    const deadline = performance.now() + SETTLE_TIMEOUT_MS;
    let before = processorTicksOf(this.pid);
    while (performance.now() < deadline) {
      await sleep(500);
      const after = processorTicksOf(this.pid);
      if (after - before <= 1) return;
      before = after;
    }
  }

  /** What `onespool stat --json` tells of the mount. */
  async statistics(): Promise<Readonly<Record<string, number>>> {
    const argv = [commandLine, "stat", this.mountpoint, "--json"];
    const text = await run(process.execPath, argv, STATISTICS_TIMEOUT_MS);
    return JSON.parse(text) as Record<string, number>;
  }

  async unmount(): Promise<Account> {
    await run(process.execPath, [commandLine, "umount", this.mountpoint], END_TIMEOUT_MS);
    await this.#end();
    return JSON.parse(readFileSync(this.#report, "utf8")) as Account;
  }

  /** As a crash would end it: nothing is written any more. */
  async kill(): Promise<void> {
    // First the one that would start a successor.
    process.kill(this.#keeperPid, "SIGKILL");
    process.kill(this.pid, "SIGKILL");
    await this.#end();
    await detach(this.mountpoint);
  }

  /** Whatever state it is in. */
  async destroy(): Promise<void> {
    killGroup(this.#child);
    mounted.delete(this);
    await detach(this.mountpoint);
  }

  async #end(): Promise<void> {
    const timer = new AbortController();
    const late = sleep(END_TIMEOUT_MS, "late" as const, { signal: timer.signal }).catch(() => null);
    const first = await Promise.race([this.#ended, late]);
    timer.abort();
    if (first === "late") {
      await this.destroy();
      throw new Error(`the spool process did not end in ${END_TIMEOUT_MS / 1000} s`);
    }
    mounted.delete(this);
  }
}

/** For the way out after an error or a signal. */
export async function destroyAll(): Promise<void> {
  for (const spool of mounted) await spool.destroy();
}

export async function detach(mountpoint: string): Promise<void> {
  // Without root, fusermount undoes what fusermount did. Nothing mounted is no error here.
  const argv = process.getuid?.() === 0 ? ["umount", "-l"] : ["fusermount", "-u", "-z"];
  const [command = "", ...rest] = argv;
  await run(command, [...rest, mountpoint], 20_000).catch(() => "");
}

function firstLine(child: ChildProcess, ended: Promise<number | null>): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = "";
    let errors = "";
    const timer = setTimeout(() => {
      killGroup(child);
      reject(new Error(`no ready mount after ${READY_TIMEOUT_MS / 1000} s\n${errors}`));
    }, READY_TIMEOUT_MS);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-4000);
    });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-4000);
      if (!output.includes("\n")) return;
      clearTimeout(timer);
      resolve(output);
    });
    void ended.then((code) => {
      clearTimeout(timer);
      reject(new Error(`onespool mount ended with ${code}\n${errors}${output}`));
    });
  });
}
