/**
 * Programs that change files of a mount while its server is killed (kill_writers.py), and what must be in these files:
 * what was answered, and of what was under way when the server went, all or nothing of each change.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Program } from "../suite/program.ts";
import { sourcePath } from "./source.ts";

const STOP_MS_MAX = 100_000;
/** Above this the file that only grows is emptied. */
const SHARED_BYTES_MAX = 1_000_000;
const SHARED = "shared";

const KINDS = ["append", "append", "rename", "make"] as const;

type Outcome = "done" | "open";
type Change =
  | readonly ["line", Outcome, string]
  | readonly ["create", Outcome, string, string]
  | readonly ["rename", Outcome, string, string]
  | readonly ["unlink", Outcome, string];

class Writer {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = "";

  constructor(kind: string, directory: string, word: string, owner: { uid: number; gid: number }) {
    const script = sourcePath("test/system/kill_writers.py");
    const args = ["-S", "-E", script, kind, directory, word, `${owner.uid}`, `${owner.gid}`];
    this.#child = spawn("python3", args, { cwd: "/", stdio: "pipe" });
    this.#child.stdin!.on("error", () => undefined);
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.#errors += text));
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  go(): void {
    this.#child.stdin!.write("go\n");
  }

  /** What was changed since. */
  async stop(): Promise<readonly Change[]> {
    this.#child.stdin!.write("stop\n");
    const patience = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS_MAX);
    const { value, done } = await this.#lines.next();
    clearTimeout(patience);
    if (done === true) throw new Error(`a writer has ended: ${this.#errors || "it did not stop"}`);
    return JSON.parse(value) as Change[];
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}

export class Writers {
  readonly #directory: string;
  readonly #writers: readonly Writer[];
  readonly #problems: string[];
  /** Of each name what may be there now; null: nothing. */
  readonly #names = new Map<string, Set<string | null>>();
  /** Of each writer its lines, in order; those that need not be there are "open". */
  readonly #lines = new Map<string, { readonly line: string; outcome: Outcome }[]>();
  done = 0;
  open = 0;

  /** The directory is the owner's. */
  constructor(directory: string, owner: { uid: number; gid: number }, problems: string[]) {
    this.#directory = directory;
    this.#problems = problems;
    this.#writers = KINDS.map((kind, i) => new Writer(kind, directory, `w${i}`, owner));
  }

  go(): void {
    for (const writer of this.#writers) writer.go();
  }

  async stop(): Promise<void> {
    const turns = await Promise.all(this.#writers.map((writer) => writer.stop()));
    for (const change of turns.flat()) this.#apply(change);
  }

  async end(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.end()));
  }

  /** While nobody writes. From then on it must stay as it is found. */
  async check(program: Program): Promise<void> {
    const found = new Map<string, string>();
    for (const name of await program.list(this.#directory)) {
      found.set(name, await program.text(`${this.#directory}/${name}`));
    }
    this.#checkLines(found.get(SHARED) ?? "");
    if ((found.get(SHARED) ?? "").length > SHARED_BYTES_MAX) {
      await program.call("os.truncate", `${this.#directory}/${SHARED}`, 0);
      this.#lines.clear();
    }
    found.delete(SHARED);
    this.#checkNames(found);
  }

  #apply(change: Change): void {
    const [what, outcome, name] = change;
    if (outcome === "done") this.done++;
    else this.open++;
    switch (what) {
      case "line": {
        const word = wordOf(name);
        const lines = this.#lines.get(word) ?? [];
        lines.push({ line: name, outcome });
        this.#lines.set(word, lines);
        return;
      }
      case "create":
        // It is made first and written then.
        this.#may(name, outcome, outcome === "done" ? [change[3]] : ["", change[3]]);
        return;
      case "unlink":
        this.#may(name, outcome, [null]);
        return;
      case "rename":
        this.#may(change[3], outcome, [...this.#of(name)]);
        this.#may(name, outcome, [null]);
        return;
      default:
        throw new Error(`no change: ${String(change)}`);
    }
  }

  #of(name: string): ReadonlySet<string | null> {
    return this.#names.get(name) ?? new Set([null]);
  }

  #may(name: string, outcome: Outcome, contents: readonly (string | null)[]): void {
    this.#names.set(
      name,
      new Set(outcome === "done" ? contents : [...this.#of(name), ...contents]),
    );
  }

  #checkNames(found: ReadonlyMap<string, string>): void {
    for (const name of new Set([...this.#names.keys(), ...found.keys()])) {
      const content = found.get(name) ?? null;
      if (!this.#of(name).has(content)) {
        const wanted = [...this.#of(name)].map(shown).join(" or ");
        this.#problems.push(`${name}: holds ${shown(content)} instead of ${wanted}`);
      }
      if (content === null) this.#names.delete(name);
      else this.#names.set(name, new Set([content]));
    }
    // Each content is written once: a rename that is half done leaves it twice.
    const contents = [...found].filter(([, content]) => content !== "");
    const first = new Map(contents.toReversed().map(([name, content]) => [content, name]));
    for (const [name, content] of contents) {
      const other = first.get(content);
      if (other !== name) this.#problems.push(`${name} and ${other}: both hold ${shown(content)}`);
    }
  }

  #checkLines(text: string): void {
    const found = text.split("\n");
    if (found.pop() !== "") this.#problems.push("shared: its last line has no end");
    const taken = new Map<string, number>();
    for (const line of found) {
      const lines = this.#lines.get(wordOf(line)) ?? [];
      const from = taken.get(wordOf(line)) ?? 0;
      const at = lines.findIndex((each, i) => i >= from && each.line === line);
      if (at === -1) {
        this.#problems.push(
          `shared: a line that was not written, twice or in the wrong place: ${shown(line)}`,
        );
        continue;
      }
      this.#lacks(lines.slice(from, at));
      lines[at]!.outcome = "done";
      taken.set(wordOf(line), at + 1);
    }
    const all = new Set(found);
    for (const [word, lines] of this.#lines) {
      this.#lacks(lines.slice(taken.get(word) ?? 0));
      this.#lines.set(
        word,
        lines.filter(({ line }) => all.has(line)),
      );
    }
  }

  #lacks(lines: readonly { readonly line: string; readonly outcome: Outcome }[]): void {
    for (const { line, outcome } of lines) {
      if (outcome === "done") this.#problems.push(`shared: lacks ${shown(line)}`);
    }
  }
}

/** The writer that has written it. */
function wordOf(line: string): string {
  return line.slice(0, line.indexOf("-"));
}

function shown(content: string | null): string {
  if (content === null) return "nothing";
  return content === ""
    ? "an empty file"
    : `${JSON.stringify(content.slice(0, 30))} (${content.length} bytes)`;
}
