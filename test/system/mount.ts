/**
 * A store that a process of its own serves at a mount point, with the command that people use. The test is
 * never the server; all the same it touches the mount through programs (suite/program.ts) only, so that a
 * server that does not answer hangs them and not the test.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { accessSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export type Binding = "kernel" | "fuse-native";
export const bindings: readonly Binding[] = ["kernel", "fuse-native"];

const command = fileURLToPath(new URL("../../cli/onespool.js", import.meta.url));
const startTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;

/** Why a binding cannot be used here; undefined when it can. */
export function missing(binding: Binding): string | undefined {
  try {
    accessSync("/dev/fuse");
  } catch {
    return "no /dev/fuse";
  }
  if (binding === "kernel") {
    return process.getuid!() === 0 ? undefined : "the kernel binding needs root";
  }
  try {
    createRequire(import.meta.url)("fuse-native");
    return undefined;
  } catch (error) {
    return `fuse-native does not load: ${(error as Error).message.split("\n")[0]}`;
  }
}

export interface MountSettings {
  readonly binding: Binding;
  /** As after -o. */
  readonly options?: string;
  /** More arguments for Node. */
  readonly nodeOptions?: readonly string[];
}

/** A temporary directory with a store and a mount point, and the server while it runs. */
export class ServedMount {
  readonly directory: string;
  readonly store: string;
  readonly mountpoint: string;
  readonly settings: MountSettings;
  #server: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #said = "";

  private constructor(settings: MountSettings) {
    this.settings = settings;
    this.directory = mkdtempSync(join(tmpdir(), "onespool-mount-"));
    // Other users must reach the mount.
    chmodSync(this.directory, 0o755);
    this.store = join(this.directory, "store");
    this.mountpoint = join(this.directory, "mnt");
    mkdirSync(this.mountpoint);
  }

  static async start(settings: MountSettings): Promise<ServedMount> {
    const mount = new ServedMount(settings);
    try {
      await mount.serve();
      return mount;
    } catch (error) {
      await mount.end();
      throw error;
    }
  }

  /** Starts the server, also again after its death. Resolves when the mount answers. */
  async serve(): Promise<void> {
    const { binding, options, nodeOptions = [] } = this.settings;
    const args = [...nodeOptions, command, "mount", this.store, this.mountpoint];
    args.push("--binding", binding, ...(options === undefined ? [] : ["-o", options]));
    const server = spawn(process.execPath, args, { cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
    this.#server = server;
    this.#said = "";
    this.#exited = once(server, "exit");
    server.stderr.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
    const line = once(createInterface({ input: server.stdout }), "line");
    const abandon = new AbortController();
    const outcome = await Promise.race([
      line.then(() => "ready"),
      this.#exited.then(() => "the server ended"),
      sleep(startTimeoutMs, "the server said nothing", { signal: abandon.signal }),
    ]);
    abandon.abort();
    if (outcome !== "ready") throw new Error(`${outcome}: ${this.#said}`);
  }

  /** The process that serves. With the kernel binding another one, its keeper, has started it. */
  get pid(): number {
    const keeper = this.#server!.pid!;
    return this.settings.binding === "kernel" ? childOf(keeper) : keeper;
  }

  /** What the server wrote to its standard error. */
  get said(): string {
    return this.#said;
  }

  get running(): boolean {
    const server = this.#server;
    return server !== undefined && server.exitCode === null && server.signalCode === null;
  }

  /** kill -9 of all, without a word to the kernel or the store. The dead mount stays until the next server. */
  async kill(): Promise<void> {
    if (!this.running) return;
    const serving = this.pid;
    const isKept = serving !== 0 && serving !== this.#server?.pid;
    // The keeper first: it starts no other one. Without it the other one would unmount, if it had the time.
    if (isKept) signalProcess(serving, "SIGSTOP");
    this.#server?.kill("SIGKILL");
    if (isKept) signalProcess(serving, "SIGKILL");
    await this.#exited;
    while (isAlive(serving)) await sleep(5);
  }

  /** kill -9 of the process that serves, whose keeper starts another one. Resolves when it is dead. */
  async killServing(): Promise<void> {
    const serving = this.pid;
    // kill(2) takes 0 for the test and all of its processes.
    if (serving === 0) throw new Error(`nothing serves ${this.mountpoint}: ${this.#said}`);
    signalProcess(serving, "SIGKILL");
    while (isAlive(serving)) await sleep(1);
  }

  /** Resolves when the server has ended by itself, and well. */
  async ended(): Promise<void> {
    await this.#expectEnd("after its mount was gone");
  }

  /** SIGTERM: unmounts and closes the store. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    server.kill("SIGTERM");
    await this.#expectEnd("after SIGTERM");
  }

  async #expectEnd(when: string): Promise<void> {
    const abandon = new AbortController();
    const late = await Promise.race([
      this.#exited.then(() => false),
      sleep(stopTimeoutMs, true, { signal: abandon.signal }),
    ]);
    abandon.abort();
    const { exitCode, signalCode } = this.#server!;
    if (late || exitCode !== 0) {
      const how = late ? "does not end" : `ended with ${signalCode ?? exitCode}`;
      throw new Error(`the server ${how} ${when}: ${this.#said}`);
    }
  }

  async remount(): Promise<void> {
    await this.stop();
    await this.serve();
  }

  /** The number of the mount's connection under /sys/fs/fuse/connections: the device's minor number. */
  connection(): number {
    for (const line of readFileSync("/proc/self/mountinfo", "latin1").split("\n")) {
      const fields = line.split(" ");
      if (fields[4] === this.mountpoint) return Number(fields[2]!.split(":")[1]);
    }
    throw new Error(`not mounted: ${this.mountpoint}`);
  }

  /** Leaves nothing behind, whatever happened before. */
  async end(): Promise<void> {
    await this.kill();
    detach(this.mountpoint);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The process that a keeper has started and that is not dead; 0 when there is none. */
export function childOf(pid: number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1");
    return children.split(" ").map(Number).find(isAlive) ?? 0;
  } catch {
    return 0;
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended.
  }
}

export function isAlive(pid: number): boolean {
  try {
    return pid !== 0 && !/\) [ZX] [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** The server has gone, so the kernel has ended the connection and the mount answers with errors. */
function detach(mountpoint: string): void {
  for (let i = 0; i < 5; i++) {
    const { status } = spawnSync("umount", ["-i", "-l", mountpoint], { timeout: 10_000 });
    if (status !== 0) break;
  }
}
