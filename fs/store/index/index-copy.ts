/**
 * A copy of LevelDB's files beside them, to be opened in their place. LevelDB does not recover from a write that
 * failed: behind a record that was written in part its log cannot be read, and its background work has stopped. What
 * stands on the disk is sound, as after a crash, and a start would go on from it; but rows are read all the time,
 * and between closing and opening none could be.
 *
 *     copied -> opened -> used from now on -> the old one closed -> its directory removed, the new one named as it
 *
 * Files of rows are never changed, so they are linked. Nobody writes to the old one meanwhile; its background work may still
 * go on. So its log is copied before the list of its files: what a list names as logged is in the copied log, and
 * files that it names and that are gone make the opening fail, not pass with rows missing.
 */
import * as fs from "node:fs/promises";
import { join } from "node:path";

const LOG = /^\d+\.log$/;
const LIST = /^(CURRENT|MANIFEST-\d+)$/;
const ROWS = /^\d+\.(ldb|sst)$/;

/** Both are directories; the new one is made, and what stands there removed. */
export async function copyIndex(from: string, to: string): Promise<void> {
  await fs.rm(to, { recursive: true, force: true });
  await fs.mkdir(to, { mode: 0o700 });
  for (const kind of [LOG, LIST, ROWS]) {
    const names = (await fs.readdir(from)).filter((name) => kind.test(name));
    for (const name of names) {
      const paths = [join(from, name), join(to, name)] as const;
      await (kind === ROWS ? fs.link(...paths) : fs.copyFile(...paths));
    }
  }
}
