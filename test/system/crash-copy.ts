import * as fs from "node:fs";
import { join } from "node:path";

/**
 * The directory as a crash at this moment would leave it. Other threads may be removing files: one that goes
 * meanwhile is in the copy or not, as after the crash.
 */
export function crashCopy(from: string, to: string): void {
  fs.mkdirSync(to);
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) {
      crashCopy(source, target);
      continue;
    }
    try {
      fs.copyFileSync(source, target);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
}
