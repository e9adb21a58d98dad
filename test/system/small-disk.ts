/** A small file system of its own, on a loop device, that another program can fill to the last byte. */
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { missingProgram } from "./command.ts";
import { missing } from "./mount.ts";

const RUN_MS_MAX = 60_000;

export interface SmallDisk {
  /** Where it is mounted. */
  readonly path: string;
  /** By another program, until not a byte is free. */
  fill(): void;
  /** What filled it is removed. */
  empty(): void;
  readonly available: number;
  end(): void;
}

/** Why there is none here; undefined when there is. */
export function missingSmallDisk(): string | undefined {
  const reason = missing("kernel") ?? missingProgram("mkfs.ext4", "mount", "dd");
  if (reason !== undefined) return reason;
  try {
    makeSmallDisk(8).end();
    return undefined;
  } catch (error) {
    return `no loop device: ${(error as Error).message.split("\n")[0]}`;
  }
}

export function makeSmallDisk(megabytes: number): SmallDisk {
  const directory = mkdtempSync(join(tmpdir(), "onespool-disk-"));
  const image = join(directory, "image");
  const path = join(directory, "disk");
  const end = (): void => {
    spawnSync("umount", ["-l", path], { timeout: RUN_MS_MAX });
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    mkdirSync(path);
    writeFileSync(image, "");
    truncateSync(image, megabytes * 1024 * 1024);
    run("mkfs.ext4", "-q", "-m", "0", image);
    run("mount", "-o", "loop", image, path);
  } catch (error) {
    end();
    throw error;
  }
  const ballasts = (): string[] => readdirSync(path).filter((name) => name.startsWith("ballast"));
  return {
    path,
    end,
    fill(): void {
      for (const size of ["1M", "4k", "512"]) {
        const file = join(path, `ballast-${size}-${ballasts().length}`);
        const dd = ["dd", "if=/dev/zero", `of=${file}`, `bs=${size}`];
        spawnSync("sh", ["-c", `${dd.join(" ")} 2>/dev/null; sync -f ${path}`], {
          timeout: RUN_MS_MAX,
        });
      }
    },
    empty(): void {
      for (const name of ballasts()) rmSync(join(path, name));
    },
    get available(): number {
      const { bsize, bavail } = statfsSync(path);
      return bsize * bavail;
    },
  };
}

function run(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    timeout: RUN_MS_MAX,
  });
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr.trim()}`);
}
