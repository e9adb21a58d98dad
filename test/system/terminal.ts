/** A program that needs a terminal, used as by somebody who types and looks. */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { environmentOf, prepared, type CommandOptions } from "./command.ts";
import { Screen } from "./screen.ts";
import { sourcePath } from "./source.ts";

const ROWS = 40;
const COLUMNS = 160;
const WAIT_MS_MAX = 30_000;

export class Terminal {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<unknown>;
  readonly #screen = new Screen(ROWS, COLUMNS);
  #hasEnded = false;
  #wake: () => void = () => undefined;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdin.on("error", () => undefined);
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      this.#screen.write(text);
      this.#wake();
    });
    child.stderr.setEncoding("latin1").on("data", (text: string) => this.#screen.write(text));
    this.#closed = once(child, "close").then(() => {
      this.#hasEnded = true;
      this.#wake();
    });
  }

  /** The caller ends it. `input` and `timeoutMs` of the options are not used. */
  static start(command: readonly string[], options: CommandOptions = {}): Terminal {
    const script = ["python3", "-S", "-E", sourcePath("test/system/terminal.py")];
    const all = [...script, String(ROWS), String(COLUMNS), ...command];
    const [program, ...args] = prepared(all, options);
    const child = spawn(program!, args, {
      cwd: options.directory ?? "/",
      env: { ...environmentOf(options), TERM: "vt100" },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    return new Terminal(child);
  }

  get screen(): string {
    return this.#screen.text;
  }

  type(keys: string): void {
    this.#child.stdin.write(keys, "latin1");
  }

  /** Waits until the screen looks so. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    for (const deadline = Date.now() + WAIT_MS_MAX; ;) {
      const found = pattern.exec(this.screen);
      if (found !== null) return found;
      if (this.#hasEnded) throw new Error(`ended before it showed ${pattern}:\n${this.screen}`);
      await this.#change(deadline, () => `never shows ${pattern}:\n${this.screen}`);
    }
  }

  /** Waits until the program has ended by itself; resolves with its exit code. */
  async ended(): Promise<number | null> {
    for (const deadline = Date.now() + WAIT_MS_MAX; !this.#hasEnded;) {
      await this.#change(deadline, () => `does not end:\n${this.screen}`);
    }
    return this.#child.exitCode;
  }

  /** Hangs up, then kills. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => {
      if (!this.#hasEnded) process.kill(-this.#child.pid!, "SIGKILL");
    }, 2_000);
    await this.#closed;
    clearTimeout(timer);
  }

  async #change(deadline: number, late: () => string): Promise<void> {
    const left = deadline - Date.now();
    if (left <= 0) throw new Error(late());
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, left);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
