/**
 * A mount for a test: the server runs in a process of its own, and everything that touches the mount runs in
 * further ones under timeout(1). A server that hangs then hangs no test.
 */
import { fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { KernelMountOptions } from "../fs/kernel/mount.ts";
import { findMount } from "../fs/kernel/mount-command.ts";
import type { Answer, Command, Numbered, State } from "./kernel-server.ts";

const commandSecMax = "30";
const server = fileURLToPath(new URL("./kernel-server.js", import.meta.url));
const connections = "/sys/fs/fuse/connections";

/** Why nothing can be mounted here. */
export function whyNoMount(): string | false {
  if (process.getuid?.() !== 0) return "the kernel binding needs root";
  return existsSync("/dev/fuse") ? false : "there is no /dev/fuse";
}

/** Why no connection can be aborted here. */
export async function whyNoAbort(): Promise<string | false> {
  const reason = whyNoMount();
  if (reason !== false) return reason;
  if (existsSync(connections) && readdirSync(connections).length > 0) return false;
  await run(["mount", "-t", "fusectl", "none", connections]);
  const isMounted = readFileSync("/proc/self/mountinfo", "utf8").includes(` ${connections} `);
  return isMounted ? false : "fusectl cannot be mounted";
}

export interface Ran {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

async function collect(child: ChildProcess): Promise<Ran> {
  let output = "";
  let errors = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output, errors };
}

export function run(command: readonly string[], directory = "/"): Promise<Ran> {
  const args = ["-k", "2", commandSecMax, ...command];
  return collect(spawn("timeout", args, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] }));
}

/** A program that lives while the test goes on: it gets lines and answers each with one. */
export class Program {
  readonly #child: ChildProcess;
  readonly ended: Promise<Ran>;
  #lines: string[] = [];
  #rest = "";
  #waiting: ((line: string) => void) | undefined;

  constructor(command: readonly string[]) {
    this.#child = spawn("timeout", ["-k", "2", commandSecMax, ...command], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.ended = collect(this.#child);
    this.#child.stdout?.on("data", (text: string) => this.#take(text));
  }

  async ask(line: string): Promise<string> {
    this.#child.stdin?.write(`${line}\n`);
    return this.line();
  }

  async line(): Promise<string> {
    const present = this.#lines.shift();
    if (present !== undefined) return present;
    const next = new Promise<string>((resolve) => {
      this.#waiting = resolve;
    });
    return Promise.race([next, this.ended.then(() => "the program ended")]);
  }

  async end(): Promise<Ran> {
    this.#child.stdin?.end();
    return this.ended;
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting === undefined) this.#lines.push(line);
      else waiting(line);
    }
  }
}

export class TestMount {
  readonly directory: string;
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, (value: unknown) => void>();
  readonly #started: Promise<Answer>;
  readonly #closed: Promise<State | undefined>;
  readonly exited: Promise<number | null>;
  #lastId = 0;

  /** `errors`: where the server's stderr goes; a test in which it dies by intention takes it. */
  constructor(options: KernelMountOptions = {}, errors: "inherit" | "ignore" = "inherit") {
    this.directory = mkdtempSync(join(tmpdir(), "onespool-mount-"));
    this.#child = fork(server, [this.directory, JSON.stringify(options)], {
      stdio: ["ignore", "inherit", errors, "ipc"],
    });
    this.exited = once(this.#child, "exit").then(([code]) => code as number | null);
    this.#started = new Promise((resolve) => {
      this.#child.on("message", (answer: Answer) => {
        if (answer.is === "mounted" || answer.is === "failed") resolve(answer);
        if (answer.is === "done") this.#answers.get(answer.id)?.(answer.value);
      });
    });
    this.#closed = new Promise((resolve) => {
      this.#child.on("message", (answer: Answer) => {
        if (answer.is === "closed") resolve(answer.state);
      });
      void this.exited.then(() => resolve(undefined));
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async started(): Promise<Answer> {
    return this.#started;
  }

  /** What the server's operations hold when the connection is gone; undefined when it died before. */
  async closed(): Promise<State | undefined> {
    return this.#closed;
  }

  /** Undefined when the server dies of it. */
  async tell(command: Command): Promise<unknown> {
    this.#lastId += 1;
    const numbered: Numbered = { ...command, id: this.#lastId };
    const answer = new Promise<unknown>((resolve) => this.#answers.set(numbered.id, resolve));
    this.#child.send(numbered);
    return Promise.race([answer, this.exited.then(() => undefined)]);
  }

  async calls(name: string): Promise<number> {
    const calls = (await this.tell({ do: "calls" })) as Record<string, number>;
    return calls[name] ?? 0;
  }

  async state(): Promise<State> {
    return (await this.tell({ do: "state" })) as State;
  }

  /** Runs a shell script in the mount. */
  sh(script: string): Promise<Ran> {
    return run(["sh", "-euc", `cd "${this.directory}"; ${script}`]);
  }

  python(script: string): Promise<Ran> {
    return run(["python3", "-c", script, this.directory]);
  }

  /** The number under which the kernel lists the connection. */
  connection(): string {
    const found = findMount(readFileSync("/proc/self/mountinfo", "utf8"), this.directory);
    return found?.device.split(":")[1] ?? "none";
  }

  async abort(): Promise<void> {
    await run(["sh", "-c", `echo 1 > ${connections}/${this.connection()}/abort`]);
  }

  /** Takes away whatever the test left. */
  async clean(): Promise<void> {
    if (findMount(readFileSync("/proc/self/mountinfo", "utf8"), this.directory) !== undefined) {
      await run(["umount", "-i", "-l", this.directory]);
    }
    const isGone = await Promise.race([
      this.exited.then(() => true),
      new Promise<boolean>((resolve) => setTimeout(resolve, 5000, false).unref()),
    ]);
    if (!isGone) this.#child.kill("SIGKILL");
    await this.exited;
    rmdirSync(this.directory);
  }
}
