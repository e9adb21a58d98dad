/**
 * Where the lines go: gathered up to 4 KiB or 200 ms, then written in one write(2) by the thread that logs. So
 * a line costs no system call of its own, lines of several processes in one file stay whole, and nothing is
 * under way when the process ends. Lines that cannot be written (a full disk) are kept up to 4 MiB and dropped
 * beyond; a log never ends the server.
 */
import { closeSync, openSync } from "node:fs";
import { pino } from "pino";

const FLUSH_MS = 200;
const GATHERED_LENGTH_MAX = 4_096;
const KEPT_BYTES_MAX = 4 * 1024 * 1024;
const FILE_MODE = 0o640;
const STDOUT = 1;

type Destination = ReturnType<typeof pino.destination>;

function open(file: string | undefined): Destination {
  const destination = pino.destination({
    dest: file ?? STDOUT,
    sync: true,
    maxLength: KEPT_BYTES_MAX,
    mode: FILE_MODE,
  });
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
    if (file !== undefined) closeSync(openSync(file, "a", FILE_MODE));
    const before = this.#destination;
    this.#destination = open(file);
    // Standard output stays open for others.
    if (this.#file !== undefined) before.end();
    this.#file = file;
  }
}
