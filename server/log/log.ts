/** The log of one process, as lines of JSON (pino). The two lines that matter have types of their own. */
import { pino } from "pino";
import type { Config } from "../config/config.ts";
import { LogDestination } from "./destination.ts";
import type { ConnectionLine, MessageLine } from "./lines.ts";

export type ProcessName = "supervisor" | "front" | "worker";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(text: string, fields?: LogFields): void;
  info(text: string, fields?: LogFields): void;
  warn(text: string, fields?: LogFields): void;
  error(text: string, fields?: LogFields): void;
  connection(line: ConnectionLine): void;
  message(line: MessageLine): void;
  /** Takes another level and file, and opens the same file anew (after a rotation). Throws what open(2) says: then the file stays as it was. */
  configure(config: Config["log"]): void;
  /** Opens the file anew. Throws as `configure` does. */
  reopen(): void;
  flush(): void;
}

const NO_FIELDS: LogFields = {};
/** 128 and the signal's number: what a shell makes of a process that SIGTERM ended. */
const EXIT_SIGTERM = 143;

/**
 * Nothing that was logged is lost when the process ends by itself, by process.exit, by an error that nobody
 * caught, or by SIGTERM, also when nothing else listens for that.
 */
function flushAtTheEnd(destination: LogDestination): void {
  process.on("exit", () => destination.flush());
  process.on("SIGTERM", () => {
    destination.flush();
    if (process.listenerCount("SIGTERM") === 1) process.exit(EXIT_SIGTERM);
  });
}

let timeMs = 0;
let timeField = "";

/** Under load many lines have one millisecond. */
function timestamp(): string {
  const nowMs = Date.now();
  if (nowMs !== timeMs) {
    timeMs = nowMs;
    timeField = `,"time":"${new Date(nowMs).toISOString()}"`;
  }
  return timeField;
}

/** Once for each process, since it listens for that one's end. Throws what open(2) says of the file. */
export function createLog(config: Config["log"], name: ProcessName): Log {
  const destination = new LogDestination(config.file);
  flushAtTheEnd(destination);
  let { file } = config;
  const logger = pino(
    {
      level: config.level,
      base: { process: name, pid: process.pid },
      timestamp,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return {
    debug: (text, fields = NO_FIELDS) => logger.debug(fields, text),
    info: (text, fields = NO_FIELDS) => logger.info(fields, text),
    warn: (text, fields = NO_FIELDS) => logger.warn(fields, text),
    error: (text, fields = NO_FIELDS) => logger.error(fields, text),
    connection: (line) => logger.info(line, "connection"),
    message: (line) => logger.info(line, "message"),
    configure: (next) => {
      logger.level = next.level;
      destination.reopen(next.file);
      file = next.file;
    },
    reopen: () => destination.reopen(file),
    flush: () => destination.flush(),
  };
}
