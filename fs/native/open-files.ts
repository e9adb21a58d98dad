/**
 * The open files by fuse-native's fd, which is a positive int32. The operations' handle may need more bits,
 * and fuse-native tells the open flags only once.
 */
import { assert } from "../../base/assert.ts";

export interface NativeOpenFile {
  readonly ino: number;
  readonly handle: number;
  readonly flags: number;
}

export const FD_MAX = 2 ** 31 - 1;

export class OpenFiles {
  readonly #files = new Map<number, NativeOpenFile>();
  readonly #counts = new Map<number, number>();
  #last = 0;

  add(file: NativeOpenFile): number {
    assert(this.#files.size < FD_MAX, "fewer files are open than there are numbers");
    do {
      // 0 means to fuse-native that there is no fd.
      this.#last = this.#last === FD_MAX ? 1 : this.#last + 1;
    } while (this.#files.has(this.#last));
    this.#files.set(this.#last, file);
    this.#counts.set(file.ino, (this.#counts.get(file.ino) ?? 0) + 1);
    return this.#last;
  }

  get(fd: number): NativeOpenFile | undefined {
    return this.#files.get(fd);
  }

  remove(fd: number): NativeOpenFile | undefined {
    const file = this.#files.get(fd);
    if (file === undefined) return undefined;
    this.#files.delete(fd);
    const count = this.#counts.get(file.ino)! - 1;
    if (count === 0) this.#counts.delete(file.ino);
    else this.#counts.set(file.ino, count);
    return file;
  }

  isOpen(ino: number): boolean {
    return this.#counts.has(ino);
  }

  fds(): number[] {
    return [...this.#files.keys()];
  }
}
