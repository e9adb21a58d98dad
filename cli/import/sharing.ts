/**
 * Import with sharing: what stands in a mailbox of this import already is linked and not written again. Root
 * only, for it compares mailboxes of different owners, and tells by what is stored who has the same message.
 *
 * Equal parts of messages are found by digest. The file that is being made then gets, in one request of the hints, ranges of
 * earlier mailboxes and, for all in between, ranges of a scratch file; what it has got is read back and
 * compared with the source. So a mailbox that somebody changes meanwhile costs a share, never a byte.
 */
import type { FileHandle } from "node:fs/promises";
import { HintError, type ClientRange, type HintClient } from "../../fs/hints/client.ts";
import { UNITS_NAMED_MAX } from "../../fs/hints/limits.ts";
import { Skip } from "./failures.ts";
import { MessageCutter, type Piece } from "./messages.ts";
import { bytesOf } from "./names.ts";
import { digestOf, PartTable, type Digest } from "./part-table.ts";
import { PARTS_MAX, partsOf } from "./parts.ts";
import { readAt, writeAt, type Sink } from "./sink.ts";
import { endTemporary, type Temporary } from "./temporary.ts";

const BATCH_BYTES = 4 * 1024 * 1024;
/** Each part of a message is one range, and what lies around them is others. */
const BATCH_PIECES_MAX = Math.floor(UNITS_NAMED_MAX / (2 * PARTS_MAX + 1));
const READ_BYTES = 1024 * 1024;
/** The scratch file is emptied from time to time; what mailboxes have got of it stays theirs. */
const SCRATCH_BYTES_MAX = 256 * 1024 * 1024;

/** A file whose parts may be linked. */
export interface SharedFile {
  readonly number: number;
}

interface Found {
  readonly start: number;
  readonly end: number;
  readonly digest: Digest;
  readonly from: { readonly path: string; readonly offset: number } | undefined;
}

export interface Saved {
  sharedRanges: number;
  sharedBytes: number;
}

/** `hintPath`: from the root of the mount, as hints name files. */
export interface Scratch {
  readonly temporary: Temporary;
  readonly hintPath: string;
}

/** The store, not a single request, is what failed. */
export function isOfStore(error: HintError): boolean {
  return error.reason === "storeFull" || error.reason === "storeFailed";
}

export class Sharing {
  readonly client: HintClient;
  readonly #saved: Saved;
  readonly #scratch: Scratch;
  #scratchSize = 0;
  #isEnded = false;
  readonly #table = new PartTable();
  readonly #paths: (string | undefined)[] = [];

  constructor(client: HintClient, saved: Saved, scratch: Scratch) {
    this.client = client;
    this.#saved = saved;
    this.#scratch = scratch;
  }

  /** Takes the scratch file away; nothing can be linked after that. */
  async end(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await endTemporary(this.#scratch.temporary);
  }

  /** A file that is being made, under its temporary path. */
  begin(hintPath: string): SharedFile {
    this.#paths.push(hintPath);
    return { number: this.#paths.length - 1 };
  }

  /** It has got its name; undefined: it has been given up. */
  settle({ number }: SharedFile, hintPath: string | undefined): void {
    this.#paths[number] = hintPath;
  }

  sink(file: FileHandle, shared: SharedFile, hintPath: string, at: number): Sink {
    return new SharingSink(this, file, shared, hintPath, at);
  }

  /** Remembers the parts of a file that is there, up to `length`. */
  async learn(file: FileHandle, shared: SharedFile, length: number): Promise<void> {
    const cutter = new MessageCutter();
    let base = 0;
    const take = (pieces: readonly Piece[]): void => {
      for (const { bytes, isMessage } of pieces) {
        if (isMessage) this.remember(shared, base, this.look(bytes));
        base += bytes.length;
      }
    };
    for (let at = 0; at < length;) {
      const bytes = await readAt(file, at, Math.min(READ_BYTES, length - at));
      if (bytes.length === 0) break;
      at += bytes.length;
      const pieces: Piece[] = [];
      cutter.take(bytes, pieces);
      take(pieces);
    }
    const pieces: Piece[] = [];
    cutter.end(pieces);
    take(pieces);
  }

  /** The parts of a message, and where they were seen. */
  look(message: Buffer): Found[] {
    return partsOf(message).map(({ start, end }) => {
      const digest = digestOf(message.subarray(start, end));
      const place = this.#table.find(digest);
      const path = place === undefined ? undefined : this.#paths[place.file];
      const from = path === undefined ? undefined : { path, offset: place!.offset };
      return { start, end, digest, from };
    });
  }

  /** For the parts that were seen nowhere else. */
  remember({ number }: SharedFile, base: number, found: readonly Found[]): void {
    for (const { start, digest, from } of found) {
      if (from === undefined) this.#table.set(digest, { file: number, offset: base + start });
    }
  }

  /**
   * Appends `batch` to a file that ends at `base`, with links for what was found. False: not done, and the file ends
   * there still.
   */
  async link(
    file: FileHandle,
    hintPath: string,
    base: number,
    batch: Buffer,
    found: readonly Found[],
  ): Promise<boolean> {
    const linked = found.filter(({ from }) => from !== undefined);
    const ranges = await this.#ranges(batch, linked);
    try {
      const offset = await this.client.shareAll(ranges, bytesOf(hintPath));
      if (offset !== base) throw new Skip("busy", "somebody else writes to what is being made");
    } catch (error) {
      if (!(error instanceof HintError) || isOfStore(error)) throw error;
      return false;
    }
    if (!(await readAt(file, base, batch.length)).equals(batch)) {
      await file.truncate(base);
      return false;
    }
    this.#saved.sharedRanges += linked.length;
    for (const { start, end } of linked) this.#saved.sharedBytes += end - start;
    return true;
  }

  /** What is not linked is written to the scratch file in one go. */
  async #ranges(batch: Buffer, linked: readonly Found[]): Promise<ClientRange[]> {
    const { temporary, hintPath } = this.#scratch;
    if (this.#scratchSize > SCRATCH_BYTES_MAX) {
      await temporary.file.truncate(0);
      this.#scratchSize = 0;
    }
    const ranges: ClientRange[] = [];
    const own: Buffer[] = [];
    let offset = this.#scratchSize;
    let at = 0;
    const takeOwn = (end: number): void => {
      if (end === at) return;
      ranges.push({ path: bytesOf(hintPath), offset, length: end - at });
      own.push(batch.subarray(at, end));
      offset += end - at;
    };
    for (const { start, end, from } of linked) {
      takeOwn(start);
      ranges.push({ path: bytesOf(from!.path), offset: from!.offset, length: end - start });
      at = end;
    }
    takeOwn(batch.length);
    await writeAt(temporary.file, Buffer.concat(own), this.#scratchSize);
    this.#scratchSize = offset;
    return ranges;
  }
}

class SharingSink implements Sink {
  readonly #sharing: Sharing;
  readonly #file: FileHandle;
  readonly #shared: SharedFile;
  readonly #hintPath: string;
  readonly #cutter = new MessageCutter();
  #at: number;
  #pieces: Piece[] = [];
  #length = 0;

  constructor(
    sharing: Sharing,
    file: FileHandle,
    shared: SharedFile,
    hintPath: string,
    at: number,
  ) {
    this.#sharing = sharing;
    this.#file = file;
    this.#shared = shared;
    this.#hintPath = hintPath;
    this.#at = at;
  }

  async write(chunk: Buffer): Promise<void> {
    const pieces: Piece[] = [];
    this.#cutter.take(chunk, pieces);
    await this.#take(pieces);
  }

  async end(): Promise<void> {
    const pieces: Piece[] = [];
    this.#cutter.end(pieces);
    await this.#take(pieces);
    await this.#flush();
  }

  async #take(pieces: readonly Piece[]): Promise<void> {
    for (const piece of pieces) {
      this.#pieces.push(piece);
      this.#length += piece.bytes.length;
      if (this.#length >= BATCH_BYTES || this.#pieces.length >= BATCH_PIECES_MAX) {
        await this.#flush();
      }
    }
  }

  async #flush(): Promise<void> {
    const batch = Buffer.concat(this.#pieces.map(({ bytes }) => bytes));
    const found: Found[] = [];
    let base = 0;
    for (const { bytes, isMessage } of this.#pieces) {
      if (isMessage) {
        for (const part of this.#sharing.look(bytes)) {
          found.push({ ...part, start: part.start + base, end: part.end + base });
        }
      }
      base += bytes.length;
    }
    this.#pieces = [];
    this.#length = 0;
    const at = this.#at;
    this.#at += batch.length;
    const isLinked =
      found.some(({ from }) => from !== undefined) &&
      (await this.#sharing.link(this.#file, this.#hintPath, at, batch, found));
    if (!isLinked) await writeAt(this.#file, batch, at);
    // What could not be linked has its place here from now on.
    const fresh = isLinked ? found : found.map((part) => ({ ...part, from: undefined }));
    this.#sharing.remember(this.#shared, at, fresh);
  }
}
