/** The keys of [limits] and [workers]: how each is called in the file, its unit and its bounds. */
import type { Limits, WorkersConfig } from "./config.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

export interface NumberKey {
  readonly key: string;
  readonly unit: "count" | "bytes" | "duration";
  readonly min: number;
  readonly max: number;
  /** Of the unit of the file in one of the program. */
  readonly scale: number;
}

function count(key: string, min: number, max: number): NumberKey {
  return { key, unit: "count", min, max, scale: 1 };
}

function bytes(key: string, min: number, max: number, scale = 1): NumberKey {
  return { key, unit: "bytes", min, max, scale };
}

function duration(key: string, min: number, max: number): NumberKey {
  return { key, unit: "duration", min, max, scale: 1 };
}

export const limitKeys: Readonly<Record<keyof Limits, NumberKey>> = {
  connectionsMax: count("connections_max", 1, 1_000_000),
  connectionsPerClientMax: count("connections_per_client_max", 1, 1_000_000),
  greetingDelayMs: duration("greeting_delay", 0, 60 * SECOND),
  commandMs: duration("command_timeout", SECOND, HOUR),
  unusedMs: duration("unused_timeout", SECOND, HOUR),
  sessionMs: duration("session_timeout", 10 * SECOND, DAY),
  dataBytesPerSecondMin: count("data_bytes_per_second_min", 0, 1_000_000),
  commandBytesMax: bytes("command_size_max", 512, 64 * KiB),
  idleCommandsMax: count("idle_commands_max", 1, 100_000),
  errorsSoft: count("errors_soft", 1, 10_000),
  errorsHard: count("errors_hard", 1, 10_000),
  // One delivery names at most so many files (docs/HINTS.md).
  recipientsMax: count("recipients_max", 1, 10_000),
  messagesMax: count("messages_max", 1, 1_000_000),
  messageBytesMax: bytes("message_size_max", KiB, 60 * MiB),
  lineBytesMax: bytes("line_size_max", 1000, MiB),
  // The header is held in memory, of every message that is under way.
  headerBytesMax: bytes("header_size_max", KiB, 64 * KiB),
  headerFieldsMax: count("header_fields_max", 10, 100_000),
  receivedFieldsMax: count("received_fields_max", 1, 1000),
  handOverMs: duration("hand_over_timeout", 100, 60 * SECOND),
  stressPercent: count("stress_percent", 1, 100),
  stressCommandMs: duration("stress_command_timeout", SECOND, HOUR),
  stressErrorsHard: count("stress_errors_hard", 1, 10_000),
};

export const workerKeys: Readonly<Record<keyof WorkersConfig, NumberKey>> = {
  count: count("count", 1, 256),
  memoryMiBMax: bytes("memory_max", 64 * MiB, 1024 * 1024 * MiB, MiB),
  messagesMax: count("messages_max", 1, 1_000_000_000),
  connectionsMax: count("connections_max", 1, 1_000_000),
};
