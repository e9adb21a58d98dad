/** Where the bytes of a file that is being taken go. */
import type { FileHandle } from "node:fs/promises";

export interface Sink {
  /** Keeps the chunk: its memory must not be used again. */
  write(chunk: Buffer): Promise<void>;
  end(): Promise<void>;
}

/** write(2) may take less than it was given. */
export async function writeAt(file: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

/** As many bytes as there are up to `length`. */
export async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);

export class PlainSink implements Sink {
  readonly #file: FileHandle;
  readonly #isSparse: boolean;
  #at: number;

  /** `isSparse`: runs of zeros become holes, as they were in the source. */
  constructor(file: FileHandle, at: number, isSparse: boolean) {
    this.#file = file;
    this.#at = at;
    this.#isSparse = isSparse;
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.#isSparse) {
      for (let at = 0; at < chunk.length; at += HOLE_BYTES) {
        const part = chunk.subarray(at, at + HOLE_BYTES);
        if (part.equals(ZEROS.subarray(0, part.length))) continue;
        await writeAt(this.#file, part, this.#at + at);
      }
    } else await writeAt(this.#file, chunk, this.#at);
    this.#at += chunk.length;
  }

  async end(): Promise<void> {
    if (this.#isSparse) await this.#file.truncate(this.#at);
  }
}
