/** A mail server in processes of its own: the spool's, or the plain one. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { killGroup, start } from "../children.ts";
import type { Native } from "../native.ts";
import { ioOf } from "../process-counters.ts";
import { descendantsOf, ticksOfTree } from "./processor.ts";
import type { Account } from "../spool-process.ts";

const READY_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 180_000;
const SETTLE_TIMEOUT_MS = 30_000;
/** Ten thousand connections, and files besides. */
const DESCRIPTORS = 65_536;

export interface Listening {
  readonly protocol: string;
  readonly port: number;
}

export interface Command {
  readonly name: string;
  readonly argv: readonly string[];
  /** Set for it and its children. */
  readonly environment: Readonly<Record<string, string>>;
  /** How many lines "listening: PROTOCOL ADDRESS:PORT" it prints when it is ready. */
  readonly listeners: number;
  /** Holds userN, each an mbox file. */
  readonly mailboxes: string;
  /** What else is to be undone when it did not end by itself. */
  readonly cleanUp: () => Promise<void>;
}

const running = new Set<ServerProcess>();

export class ServerProcess {
  readonly name: string;
  readonly mailboxes: string;
  readonly listening: readonly Listening[];
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  readonly #report: string;
  readonly #command: Command;

  private constructor(
    command: Command,
    child: ChildProcess,
    ended: Promise<number | null>,
    listening: readonly Listening[],
    report: string,
  ) {
    this.name = command.name;
    this.mailboxes = command.mailboxes;
    this.listening = listening;
    this.#command = command;
    this.#child = child;
    this.#ended = ended;
    this.#report = report;
    running.add(this);
  }

  static async start(native: Native, command: Command, report: string): Promise<ServerProcess> {
    const raiseLimit = `ulimit -n ${DESCRIPTORS} 2>/dev/null; exec "$@"`;
    const environment = Object.entries(command.environment).map(
      ([name, value]) => `${name}=${value}`,
    );
    const child = start(native.path("account"), [
      report,
      "sh",
      "-c",
      raiseLimit,
      "sh",
      "env",
      ...environment,
      process.execPath,
      ...command.argv,
    ]);
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    try {
      return new ServerProcess(command, child, ended, await ready(command, child, ended), report);
    } catch (error) {
      await command.cleanUp();
      throw error;
    }
  }

  port(protocol: "smtp" | "lmtp"): number {
    const found = this.listening.find((each) => each.protocol === protocol);
    if (found === undefined) throw new Error(`${this.name} does not listen for ${protocol}`);
    return found.port;
  }

  /** The server and all processes that it has started. */
  pids(): number[] {
    return descendantsOf(this.#child.pid ?? 0);
  }

  /** Of the Node process whose arguments say so; undefined if there is none. */
  pidOf(argument: RegExp): number | undefined {
    return this.pids().find((pid) => {
      const line = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
      return line.startsWith(`${process.execPath} `) && argument.test(line);
    });
  }

  ticks(): number {
    return ticksOfTree(this.#child.pid ?? 0);
  }

  /** So far, of the processes that run now. */
  writtenBytes(): number {
    return this.pids().reduce((sum, pid) => sum + ioOf(pid).deviceWrittenBytes, 0);
  }

  /** Returns when it has done what it had put off: no processor is used (nearly) for half a second. */
  async settle(): Promise<void> {
    const deadline = performance.now() + SETTLE_TIMEOUT_MS;
    let before = this.ticks();
    while (performance.now() < deadline) {
      await sleep(500);
      const after = this.ticks();
      if (after - before <= 2) return;
      before = after;
    }
  }

  /** As an operator ends it, with SIGTERM: what is written at the end is in the account. */
  async stop(): Promise<Account> {
    this.#child.kill("SIGTERM");
    const timer = new AbortController();
    const late = sleep(END_TIMEOUT_MS, "late" as const, { signal: timer.signal }).catch(() => null);
    const end = await Promise.race([this.#ended, late]);
    timer.abort();
    if (end === "late") {
      await this.destroy();
      throw new Error(`${this.name} did not end in ${END_TIMEOUT_MS / 1000} s after SIGTERM`);
    }
    running.delete(this);
    if (end !== 0) throw new Error(`${this.name} ended with ${end}`);
    return JSON.parse(readFileSync(this.#report, "utf8")) as Account;
  }

  /** Whatever state it is in. */
  async destroy(): Promise<void> {
    running.delete(this);
    for (const pid of this.pids()) kill(pid);
    killGroup(this.#child);
    await this.#command.cleanUp();
  }
}

/** For the way out after an error or a signal. */
export async function destroyServers(): Promise<void> {
  for (const server of running) await server.destroy();
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended in this very moment.
  }
}

function ready(
  command: Command,
  child: ChildProcess,
  ended: Promise<number | null>,
): Promise<Listening[]> {
  return new Promise((resolve, reject) => {
    let output = "";
    let errors = "";
    const timer = setTimeout(() => {
      killGroup(child);
      reject(
        new Error(`${command.name} is not ready after ${READY_TIMEOUT_MS / 1000} s\n${errors}`),
      );
    }, READY_TIMEOUT_MS);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-4000);
    });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-8000);
      const listening = [...output.matchAll(/^listening: (\w+) \S+:(\d+)$/gm)].map(
        ([, protocol = "", port]) => ({ protocol, port: Number(port) }),
      );
      if (listening.length < command.listeners) return;
      clearTimeout(timer);
      resolve(listening);
    });
    void ended.then((code) => {
      clearTimeout(timer);
      reject(new Error(`${command.name} ended with ${code}\n${errors}${output}`));
    });
  });
}
