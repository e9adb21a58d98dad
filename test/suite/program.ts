/**
 * A program that uses a directory: a Python process that makes one system call for each request
 * (process.py). The tests touch a mount through such programs only, so a server that hangs hangs
 * them and not the test, and each call can have its own process, user and open files.
 *
 * Strings and buffers become bytes, one for each latin1 character: any name survives. Requests are
 * answered in order and may be sent without waiting for the answers before them.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { constants, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { sourcePath } from "../system/source.ts";

export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
}

export interface Stat {
  readonly mode: number;
  readonly ino: number;
  readonly dev: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blocks: number;
  readonly blksize: number;
  /** Nanoseconds since 1970. */
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
}

/** A call that failed: `code` is the errno's name. */
export class CallError extends Error {
  override name = "CallError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export type Argument = null | boolean | number | bigint | string | Buffer | readonly Argument[];

const callTimeoutMs = 60_000;

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export class Program {
  readonly #child: ChildProcess;
  readonly #waiting: Waiting[] = [];
  readonly #exited: Promise<unknown>;

  constructor(user?: User) {
    const options =
      user === undefined ? [] : [String(user.uid), String(user.gid), (user.groups ?? []).join(",")];
    const script = sourcePath("test/suite/process.py");
    this.#child = spawn("python3", ["-S", "-E", script, ...options], {
      cwd: "/",
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#exited = once(this.#child, "exit");
    this.#child.stdin!.on("error", () => undefined);
    createInterface({ input: this.#child.stdout! }).on("line", (line) => this.#answer(line));
    this.#child.on("exit", (code, signal) => {
      for (const one of this.#waiting.splice(0)) {
        clearTimeout(one.timer);
        one.reject(new CallError("EXIT", `the program ended: ${signal ?? code}`));
      }
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  call(name: string, ...args: Argument[]): Promise<unknown> {
    return this.callWith({}, name, ...args);
  }

  /** A call with Python keyword arguments. */
  callWith(
    keywords: Record<string, Argument>,
    name: string,
    ...args: Argument[]
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        reject(new CallError("EXIT", "the program has ended"));
        return;
      }
      const timer = setTimeout(() => {
        reject(new CallError("TIMEOUT", `no answer in ${callTimeoutMs} ms: ${name}`));
        this.kill();
      }, callTimeoutMs);
      this.#waiting.push({ resolve, reject, timer });
      const named = Object.fromEntries(
        Object.entries(keywords).map(([key, value]) => [key, encode(value)]),
      );
      this.#child.stdin!.write(`${JSON.stringify([name, args.map(encode), named])}\n`);
    });
  }

  open(path: string, flags: number = constants.O_RDONLY, mode = 0o666): Promise<number> {
    return this.call("os.open", path, flags, mode) as Promise<number>;
  }

  async close(fd: number): Promise<void> {
    await this.call("os.close", fd);
  }

  read(fd: number, length: number): Promise<Buffer> {
    return this.call("os.read", fd, length) as Promise<Buffer>;
  }

  pread(fd: number, length: number, offset: number): Promise<Buffer> {
    return this.call("os.pread", fd, length, offset) as Promise<Buffer>;
  }

  write(fd: number, data: string | Buffer): Promise<number> {
    return this.call("os.write", fd, data) as Promise<number>;
  }

  pwrite(fd: number, data: string | Buffer, offset: number): Promise<number> {
    return this.call("os.pwrite", fd, data, offset) as Promise<number>;
  }

  stat(path: string): Promise<Stat> {
    return this.call("os.stat", path) as Promise<Stat>;
  }

  lstat(path: string): Promise<Stat> {
    return this.call("os.lstat", path) as Promise<Stat>;
  }

  fstat(fd: number): Promise<Stat> {
    return this.call("os.fstat", fd) as Promise<Stat>;
  }

  async exists(path: string): Promise<boolean> {
    return this.lstat(path).then(
      () => true,
      (error: unknown) => {
        if (error instanceof CallError && error.code === "ENOENT") return false;
        throw error;
      },
    );
  }

  /** The names of a directory, sorted by byte. */
  async list(path: string): Promise<string[]> {
    const names = (await this.call("os.listdir", path)) as Buffer[];
    return names.map((name) => name.toString("latin1")).sort();
  }

  /** Makes or replaces a file. */
  async writeFile(path: string, data: string | Buffer): Promise<void> {
    await this.call("write_file", path, data);
  }

  readFile(path: string): Promise<Buffer> {
    return this.call("read_file", path) as Promise<Buffer>;
  }

  async text(path: string): Promise<string> {
    return (await this.readFile(path)).toString("latin1");
  }

  async mkdir(path: string, mode = 0o777): Promise<void> {
    await this.call("os.mkdir", path, mode);
  }

  async unlink(path: string): Promise<void> {
    await this.call("os.unlink", path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.call("os.rename", from, to);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves when the kernel shows the process inside one of these system calls, asleep. */
  async asleepIn(...calls: (keyof typeof systemCalls)[]): Promise<void> {
    const numbers = calls.map((call) => String(systemCalls[call]));
    const deadline = Date.now() + callTimeoutMs;
    while (Date.now() < deadline) {
      const [number] = readFileSync(`/proc/${this.pid}/syscall`, "latin1").split(" ");
      const state = / ([A-Z]) /.exec(readFileSync(`/proc/${this.pid}/stat`, "latin1"))?.[1];
      if (numbers.includes(number!.trim()) && state !== "R") return;
      await sleep(5);
    }
    throw new Error(`process ${this.pid} never slept in ${calls.join(", ")}`);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Kills the process and waits until it has gone and its files are closed. */
  async end(): Promise<void> {
    this.kill();
    await this.#exited;
  }

  #answer(line: string): void {
    const one = this.#waiting.shift();
    if (one === undefined) return;
    clearTimeout(one.timer);
    const answer = JSON.parse(line, revive) as { r?: unknown; e?: string; m?: string };
    if (answer.e === undefined) one.resolve(answer.r);
    else one.reject(new CallError(answer.e, answer.m ?? ""));
  }
}

/** System call numbers, for asleepIn. */
const systemCalls =
  process.arch === "arm64"
    ? { read: 63, openat: 56, fcntl: 25, flock: 32 }
    : { read: 0, openat: 257, fcntl: 72, flock: 73 };

function encode(value: Argument): unknown {
  if (typeof value === "string") return { b: value };
  if (typeof value === "bigint") return { i: String(value) };
  if (Buffer.isBuffer(value)) return { b: value.toString("latin1") };
  return Array.isArray(value) ? value.map(encode) : value;
}

function revive(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  const { b, i } = value as { b?: unknown; i?: unknown };
  if (typeof b === "string") return Buffer.from(b, "latin1");
  return typeof i === "string" ? BigInt(i) : value;
}
