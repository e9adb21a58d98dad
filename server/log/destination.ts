/**
 * Where the lines go: gathered up to 4 KiB or 200 ms, then written in one write(2) by the thread that logs. So
 * a line costs no system call of its own, lines of several processes in one file stay whole, and nothing is
 * under way when the process ends. Lines that cannot be written (a full disk) are kept up to 4 MiB and dropped
 * beyond; a log never ends the server.
 */
import { constants, openSync } from "node:fs";
import { pino } from "pino";

const FLUSH_MS = 200;
const GATHERED_LENGTH_MAX = 4_096;
const KEPT_BYTES_MAX = 4 * 1024 * 1024;
const FILE_MODE = 0o640;
/** The supervisor opens it as root: a link that somebody has put in its place must not lead root elsewhere. */
const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
const FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW;
const STDOUT = 1;

type Destination = ReturnType<typeof pino.destination>;

function openFile(file: string): number {
  try {
    return openSync(file, FLAGS, FILE_MODE);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ELOOP") throw error;
    throw new Error(`${file} is a symbolic link`, { cause: error });
  }
}

function open(file: string | undefined): Destination {
  const dest = file === undefined ? STDOUT : openFile(file);
  const destination = pino.destination({ dest, sync: true, maxLength: KEPT_BYTES_MAX });
  // The next write tries again.
  destination.on("error", () => undefined);
  return destination;
}

export class LogDestination {
  #destination: Destination;
  #file: string | undefined;
  #gathered = "";
  #timer: NodeJS.Timeout | undefined;

  /** Throws what open(2) says. */
  constructor(file: string | undefined) {
    this.#file = file;
    this.#destination = open(file);
  }

  write(line: string): void {
    this.#gathered += line;
    if (this.#gathered.length >= GATHERED_LENGTH_MAX) this.flush();
    // A process is not kept alive by its log: the exit flushes.
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#gathered === "") return;
    const lines = this.#gathered;
    this.#gathered = "";
    this.#destination.write(lines);
  }

  /** To `file` from here on, opened anew even if it is the same one; throws and goes on as before if it cannot be. */
  reopen(file: string | undefined): void {
    this.flush();
    if (file === undefined && this.#file === undefined) return;
    const next = open(file);
    const before = this.#destination;
    this.#destination = next;
    // Standard output stays open for others.
    if (this.#file !== undefined) before.end();
    this.#file = file;
  }
}
