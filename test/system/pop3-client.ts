/** A POP3 session of Python's poplib, as a program of its own (pop3_client.py). */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestContext } from "../suite/run.ts";
import { sourcePath } from "./source.ts";

const WAIT_MS_MAX = 60_000;

export class Pop3Client {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(t: TestContext, port: number, user: string) {
    const args = ["-S", "-E", sourcePath("test/system/pop3_client.py"), String(port), user];
    this.#child = spawn("python3", args, { cwd: "/", stdio: ["pipe", "pipe", "inherit"] });
    t.teardown(() => this.#child.kill("SIGKILL"));
    this.#child.stdin!.on("error", () => undefined);
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** A method of poplib.POP3; see there for the answers. */
  async call<Answer>(method: string, ...args: readonly (number | string)[]): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify([method, ...args])}\n`);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), WAIT_MS_MAX);
    const { value, done } = await this.#lines.next();
    clearTimeout(timer);
    if (done === true) throw new Error(`no answer of POP3 to ${method}`);
    const answer = JSON.parse(value) as Answer | { readonly error: string };
    if (typeof answer === "object" && answer !== null && "error" in answer) {
      throw new Error(`${method}: ${answer.error}`);
    }
    return answer;
  }

  async count(): Promise<number> {
    const [count] = await this.call<readonly [number, number]>("stat");
    return count;
  }

  /** The unique ids in the order of the messages. */
  async uids(): Promise<string[]> {
    const [, lines] = await this.call<readonly [string, readonly string[]]>("uidl");
    return lines.map((line) => line.split(" ")[1]!);
  }

  /** Ends the session well: what was marked is deleted. */
  async quit(): Promise<void> {
    await this.call("quit");
    const exited = once(this.#child, "exit");
    this.#child.stdin!.end();
    await exited;
  }
}
