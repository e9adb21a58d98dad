/** What a case of the conformance suite gets: an empty directory, and programs that use it. */
import { Program, type User } from "./program.ts";

export type Case = (place: Place) => Promise<void>;

/** Names are facts about a file system. */
export type Cases = Readonly<Record<string, Case>>;

/** Programs that have done their part in one case and can be used in the next. */
export class ProgramPool {
  readonly #idle: Program[] = [];

  take(): Program {
    return this.#idle.pop() ?? new Program();
  }

  async giveBack(program: Program): Promise<void> {
    const usable = await program.call("reset").then(
      () => true,
      () => false,
    );
    if (usable) this.#idle.push(program);
    else await program.end();
  }

  async end(): Promise<void> {
    await Promise.all(this.#idle.map((program) => program.end()));
  }
}

export class Place {
  readonly directory: string;
  readonly #pool: ProgramPool;
  readonly #pooled: Program[] = [];
  readonly #own: Program[] = [];

  constructor(directory: string, pool: ProgramPool) {
    this.directory = directory;
    this.#pool = pool;
  }

  path(name: string): string {
    return `${this.directory}/${name}`;
  }

  /** A program of the test's own user, or of another one if the test runs as root. */
  program(user?: User): Program {
    const program = user === undefined ? this.#pool.take() : new Program(user);
    (user === undefined ? this.#pooled : this.#own).push(program);
    return program;
  }

  /** Programs that are still inside a call are killed when `failed`. */
  async end(failed: boolean): Promise<void> {
    await Promise.all([
      ...this.#own.map((program) => program.end()),
      ...this.#pooled.map((program) => (failed ? program.end() : this.#pool.giveBack(program))),
    ]);
  }
}

/** Two users and a group that need no entry in /etc/passwd. */
export const alice: User = { uid: 60_001, gid: 60_001 };
export const bob: User = { uid: 60_002, gid: 60_002 };
export const sharedGroup = 60_009;
