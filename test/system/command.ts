/** Programs that people run on a mount, each as a process that has to end in time. */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const RUN_MS_MAX = 60_000;

export interface CommandOptions {
  /** A user of the system, with all groups that it has. Needs root. */
  readonly user?: string;
  /** Of the whole environment there is only this, PATH, HOME and LC_ALL=C. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** What is read from standard input. */
  readonly input?: string | Buffer;
  /** This directory is /var/mail, for this program alone. Needs root. */
  readonly varMail?: string;
  readonly timeoutMs?: number;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

/** Why programs cannot be tested here; undefined when all of them are there. */
export function missingProgram(...programs: readonly string[]): string | undefined {
  const directories = searchPath.split(delimiter);
  const name = programs.find(
    (program) => !directories.some((directory) => isExecutable(join(directory, program))),
  );
  return name === undefined ? undefined : `${name} is missing`;
}

/** Where programs of the system are, also for who is not root. */
export const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The command with what makes it run as somebody else or in another place. */
export function prepared(command: readonly string[], options: CommandOptions): readonly string[] {
  const { user, varMail } = options;
  let all = command;
  if (user !== undefined) {
    all = ["setpriv", `--reuid=${user}`, `--regid=${groupOf(user)}`, "--init-groups", ...all];
  }
  if (varMail !== undefined) {
    const script = 'mount --bind "$0" /var/mail && exec "$@"';
    all = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, varMail, ...all];
  }
  return all;
}

function groupOf(user: string): string {
  return spawnSync("id", ["-g", user], { encoding: "utf8", timeout: 10_000 }).stdout.trim();
}

export function environmentOf({ environment = {}, directory }: CommandOptions): NodeJS.ProcessEnv {
  return { PATH: searchPath, LC_ALL: "C", HOME: directory ?? "/", ...environment };
}

/** Resolves when it has ended, however it did; rejects when it cannot be started or does not end in time. */
export function run(command: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const [program, ...args] = prepared(command, options);
  const child = spawn(program!, args, {
    cwd: options.directory ?? "/",
    env: environmentOf(options),
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own, which can be ended with all that it started.
    detached: true,
  });
  child.stdin.on("error", () => undefined).end(options.input ?? "");
  return new Promise<Ended>((resolve, reject) => {
    let [output, errors] = ["", ""];
    child.stdout.setEncoding("latin1").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("latin1").on("data", (text: string) => (errors += text));
    const timer = setTimeout(() => {
      reject(new Error(`does not end: ${command.join(" ")}: ${output}${errors}`));
      process.kill(-child.pid!, "SIGKILL");
    }, options.timeoutMs ?? RUN_MS_MAX);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, output, errors });
    });
  });
}

/** Its standard output; rejects when it ends with anything but 0. */
export async function outputOf(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { code, signal, output, errors } = await run(command, options);
  if (code === 0) return output;
  throw new Error(`${command.join(" ")} ended with ${signal ?? code}: ${output}${errors}`);
}
