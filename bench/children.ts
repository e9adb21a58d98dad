/**
 * The processes that the bench starts. Each has a time limit, and none outlives the bench.
 *
 * The bench process itself never opens a file of a mount: what touches one is a child, so that a mount that
 * does not answer costs a child and not the bench.
 */
import { spawn, type ChildProcess } from "node:child_process";

const running = new Set<ChildProcess>();

/** Started as a process group of its own, so that a time limit reaches its children too. */
export function start(
  command: string,
  argv: readonly string[],
  input: "ignore" | "pipe" = "ignore",
): ChildProcess {
  const child = spawn(command, argv, { stdio: [input, "pipe", "pipe"], detached: true });
  running.add(child);
  child.once("close", () => running.delete(child));
  child.once("error", () => running.delete(child));
  return child;
}

export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || !running.has(child)) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It ended in this very moment.
  }
}

export function killAll(): void {
  for (const child of running) killGroup(child);
}

/** Standard output of a command that ends by itself; throws with its errors when it fails or takes too long. */
export function run(command: string, argv: readonly string[], timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = start(command, argv);
    let output = "";
    let errors = "";
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      killGroup(child);
    }, timeoutMs);
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (errors += text));
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(output);
      const reason = late ? `no end after ${timeoutMs / 1000} s` : (signal ?? `exit ${code}`);
      reject(new Error(`${command} ${argv.join(" ")}: ${reason}\n${distinctLines(errors)}`));
    });
  });
}

/** Sixteen processes that fail for one reason say it sixteen times. */
function distinctLines(text: string): string {
  return [...new Set(text.trim().split("\n"))].join("\n");
}
