/**
 * Open directories. Each is a snapshot of the store's, taken at its first read and again at each
 * rewind, so that a listing neither misses nor repeats a name that was there all along.
 */
import type { Errno } from "../../base/errno.ts";
import type { DirectoryEntry } from "../operations.ts";
import type { Store } from "../store/store.ts";
import { directoryAt } from "./inodes.ts";

type Stream = ReturnType<Store["openDirectory"]>;

export class Directories {
  readonly #store: Store;
  readonly #streams = new Map<number, Stream>();

  constructor(store: Store) {
    this.#store = store;
  }

  async read(
    ino: number,
    handle: number,
    cookie: number,
    countMax: number,
  ): Promise<readonly DirectoryEntry[] | Errno> {
    const directory = directoryAt(this.#store, ino);
    if (typeof directory === "number") return directory;
    // rewinddir(3): what is read from the start shows the directory as it is now.
    if (cookie === 0) await this.close(handle);
    return this.#stream(ino, handle).read(cookie, countMax);
  }

  async close(handle: number): Promise<void> {
    const stream = this.#streams.get(handle);
    this.#streams.delete(handle);
    await stream?.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#streams.keys()].map((handle) => this.close(handle)));
  }

  /** A handle of an earlier run has none yet: cookies mean the same in every snapshot. */
  #stream(ino: number, handle: number): Stream {
    let stream = this.#streams.get(handle);
    if (stream === undefined) {
      stream = this.#store.openDirectory(ino);
      this.#streams.set(handle, stream);
    }
    return stream;
  }
}
