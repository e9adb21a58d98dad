/** What the figures were measured on. Printed before any of them. */
import { execFileSync } from "node:child_process";
import { readFileSync, realpathSync, statSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

export interface Disk {
  readonly source: string;
  readonly type: string;
  readonly options: string;
  /** `major:minor`, as /proc/diskstats and /sys/dev/block name it. */
  readonly device: string;
}

/** The mount that a directory is on. */
export function diskOf(directory: string): Disk {
  const path = realpathSync(directory);
  let found: { point: string; disk: Disk } | undefined;
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const [front = "", back = ""] = line.split(" - ");
    const [, , device = "", , point = "", options = ""] = front.split(" ");
    const [type = "", source = ""] = back.split(" ");
    if (point === "") continue;
    const holds = path === point || path.startsWith(point === "/" ? "/" : `${point}/`);
    // A later mount on the same place hides the earlier one.
    if (holds && point.length >= (found?.point.length ?? 0)) {
      found = { point, disk: { source, type, options, device } };
    }
  }
  if (found === undefined) throw new Error(`no mount holds ${path}`);
  return found.disk;
}

export function describeMachine(directory: string): string {
  const disk = diskOf(directory);
  const processors = cpus();
  const memory = (totalmem() / 2 ** 30).toFixed(1);
  return [
    `machine: ${processors.length} x ${processors[0]?.model.trim() ?? "unknown processor"}, ${memory} GiB, Linux ${release()}, Node ${process.version}`,
    `disk:    ${disk.source} (${disk.device}), ${disk.type} (${disk.options}), at ${directory}`,
    `load:    ${readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ")} before the start`,
  ].join("\n");
}

/** A file system in memory makes every fsync free and every figure worthless. */
export function refusal(directory: string): string | undefined {
  const { type } = diskOf(directory);
  if (["tmpfs", "ramfs", "overlay"].includes(type) || type.startsWith("fuse")) {
    return `${directory} is on ${type}; choose a directory on a disk with --dir`;
  }
  return undefined;
}

/**
 * Bytes written to the device since the machine started, by everybody; undefined where the file system has no device of
 * its own (Documentation/admin-guide/iostats.rst: the seventh number is sectors of 512 bytes).
 */
export function deviceBytesWritten(directory: string): number | undefined {
  const { device } = diskOf(directory);
  const [major, minor] = device.split(":");
  for (const line of readFileSync("/proc/diskstats", "utf8").split("\n")) {
    const field = line.trim().split(/\s+/);
    if (field[0] === major && field[1] === minor) return Number(field[9]) * 512;
  }
  return undefined;
}

/** Everything that was written so far is on the disk. */
export function syncDisk(directory: string): void {
  statSync(directory);
  execFileSync("sync", ["-f", directory], { timeout: 120_000 });
}
