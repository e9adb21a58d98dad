/** The load generators: C programs, so that the client costs both sides as little as it can. */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./children.ts";

const PROGRAMS = [
  "account",
  "append_fsync",
  "count_messages",
  "deliver_files",
  "deliver_hints",
  "make_mailboxes",
  "read_file",
  "smtp_load",
  "visit",
] as const;

export type Program = (typeof PROGRAMS)[number];

export interface Load {
  readonly messages: number;
  readonly deliveries: number;
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly deliveriesPerSecond: number;
  readonly latencyMsMax: number;
}

export class Native {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async compile(
    directory: string,
    programs: readonly Program[] = PROGRAMS,
  ): Promise<Native> {
    mkdirSync(directory, { recursive: true });
    const sources = sourceDirectory();
    for (const program of programs) {
      const target = join(directory, program);
      const source = join(sources, `${program}.c`);
      await run("gcc", ["-std=c17", "-O2", "-Wall", "-o", target, source], 60_000).catch(
        (error: unknown) => {
          throw new Error(
            "the bench compiles its load generators with gcc (Debian: gcc libc6-dev)",
            {
              cause: error,
            },
          );
        },
      );
    }
    return new Native(directory);
  }

  path(program: Program): string {
    return join(this.#directory, program);
  }

  /** The line of JSON that the program prints. */
  async run<T = Load>(
    program: Program,
    argv: readonly (string | number)[],
    timeoutMs: number,
  ): Promise<T> {
    return JSON.parse(await run(this.path(program), argv.map(String), timeoutMs)) as T;
  }
}

/** The C sources are not compiled to `dist/`: they lie beside it. */
function sourceDirectory(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  for (const root of [join(here, "..", ".."), join(here, ".."), process.cwd()]) {
    const directory = join(root, "bench", "native");
    if (existsSync(join(directory, "load.h"))) return directory;
  }
  throw new Error("the sources of the load generators (bench/native) are missing");
}
