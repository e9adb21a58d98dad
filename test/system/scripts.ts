/** Python scripts that the tests run as programs of their own. */
import { spawn, type ChildProcess } from "node:child_process";
import { sourcePath } from "./source.ts";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

export interface RunningScript {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** `onOutput` is told what it prints, as it comes. */
export function runScript(
  name: string,
  args: readonly string[],
  onOutput: (text: string) => void = () => undefined,
): RunningScript {
  const script = sourcePath(`test/system/${name}`);
  const child = spawn("python3", ["-S", "-E", script, ...args], {
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    let [output, errors] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      onOutput(text);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, output, errors }));
  });
  return { child, ended };
}
