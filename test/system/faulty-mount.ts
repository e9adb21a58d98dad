/** A mount of a whole spool whose disk can be made to fail (faulty-spool.ts), for a test. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Test } from "tap";
import { run } from "../kernel-mounted.ts";
import { Program } from "../suite/program.ts";
import type { Command } from "./faulty-spool.ts";
import { HintClient } from "./hints.ts";

const script = fileURLToPath(new URL("./faulty-spool.js", import.meta.url));
const ANSWER_MS_MAX = 60_000;

export class FaultyMount {
  readonly mountpoint = mkdtempSync(join(tmpdir(), "onespool-faulty-"));
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (value: unknown) => void>();
  readonly #exited: Promise<unknown>;
  /** Programs that use the mount. */
  readonly #programs = new Set<Program>();
  /** What the process that serves it has warned of. */
  warnings = "";
  #lastId = 0;

  private constructor() {
    const stdio = ["ignore", "ignore", "pipe", "ipc"] as const;
    this.#child = fork(script, [this.mountpoint], { stdio: [...stdio] });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.warnings += text));
    this.#exited = once(this.#child, "exit");
    this.#child.on("message", ({ id, value }: { id: number; value: unknown }) => {
      this.#waiting.get(id)?.(value);
      this.#waiting.delete(id);
    });
  }

  static async open(test: Test): Promise<FaultyMount> {
    const mount = new FaultyMount();
    test.teardown(() => mount.#clean());
    await mount.#answer(0);
    return mount;
  }

  path(name: string): string {
    return join(this.mountpoint, name);
  }

  tell(command: Command): Promise<unknown> {
    const id = ++this.#lastId;
    const answer = this.#answer(id);
    this.#child.send({ ...command, id });
    return answer;
  }

  program(): Program {
    const program = new Program();
    this.#programs.add(program);
    return program;
  }

  hints(program: Program): Promise<HintClient> {
    return HintClient.open(program, this.mountpoint);
  }

  /** What programs have open ends with them. */
  async endPrograms(): Promise<void> {
    for (const program of this.#programs) await program.end();
    this.#programs.clear();
  }

  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${why}: ${this.warnings}`));
      const timer = setTimeout(() => fail("the spool does not answer"), ANSWER_MS_MAX);
      this.#waiting.set(id, (value) => {
        clearTimeout(timer);
        resolve(value);
      });
      void this.#exited.then(() => {
        clearTimeout(timer);
        if (this.#waiting.has(id)) fail("the spool has ended");
      });
    });
  }

  async #clean(): Promise<void> {
    for (const program of this.#programs) program.kill();
    // Whoever is left in it gets an error, not a wait.
    if (this.#child.exitCode === null) await run(["umount", "-i", "-l", this.mountpoint]);
    this.#child.kill("SIGKILL");
    await this.#exited;
    rmdirSync(this.mountpoint);
  }
}
