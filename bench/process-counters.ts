/** What /proc tells of a process. */
import { readFileSync } from "node:fs";

export interface Memory {
  readonly residentBytes: number;
  /** Without pages that belong to files. */
  readonly anonymousBytes: number;
  readonly residentBytesMax: number;
}

export interface Io {
  /** Asked for by read(2), from wherever it came. */
  readonly readBytes: number;
  readonly deviceReadBytes: number;
  readonly deviceWrittenBytes: number;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) * 1024;
  return {
    residentBytes: kilobytes("VmRSS"),
    anonymousBytes: kilobytes("RssAnon"),
    residentBytesMax: kilobytes("VmHWM"),
  };
}

export function ioOf(pid: number): Io {
  const text = readFileSync(`/proc/${pid}/io`, "utf8");
  const value = (name: string): number =>
    Number(new RegExp(`^${name}: (\\d+)`, "m").exec(text)?.[1] ?? Number.NaN);
  return {
    readBytes: value("rchar"),
    deviceReadBytes: value("read_bytes"),
    deviceWrittenBytes: value("write_bytes"),
  };
}

/** sysconf(_SC_CLK_TCK) is 100 on every Linux that people use. */
export const MICROSECONDS_PER_TICK = 10_000;

/** User and system time of all threads, in clock ticks (proc_pid_stat(5), fields 14 and 15). */
export function processorTicksOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text
    .split(" ")
    .filter((field) => field !== "")
    .map(Number);
}
