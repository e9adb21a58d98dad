/** The index of the store that is salvaged. It is read from a copy, for opening it would write to it. */
import * as fs from "node:fs";
import { join } from "node:path";
import type { LogFiles } from "../store/check/index-view.ts";
import { IndexView } from "../store/check/index-view.ts";
import { IndexDb } from "../store/index/index-db.ts";
import { indexDirectory } from "../store/paths.ts";
import { storageError } from "../store/log/segment-files.ts";

/** In the new store, until it is whole. */
const COPY = "index.salvaged";

export interface OldIndex {
  /** Undefined when there is none that can be used. */
  readonly view: IndexView | undefined;
  close(): Promise<void>;
}

export async function openOldIndex(
  store: string,
  target: string,
  files: LogFiles,
): Promise<OldIndex> {
  const from = indexDirectory(store);
  const copy = join(target, COPY);
  if (fs.statSync(from, { throwIfNoEntry: false })?.isDirectory() !== true) {
    return { view: undefined, close: () => Promise.resolve() };
  }
  try {
    fs.mkdirSync(copy, { mode: 0o700 });
    fs.cpSync(from, indexDirectory(copy), { recursive: true });
  } catch (error) {
    fs.rmSync(copy, { recursive: true, force: true });
    throw storageError(`cannot copy ${from}`, error);
  }
  const view = await IndexView.open(copy, files, IndexDb);
  return {
    view,
    close: async () => {
      await view?.close();
      fs.rmSync(copy, { recursive: true, force: true });
    },
  };
}
