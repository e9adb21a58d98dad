/**
 * The bytes of a mailbox on their way into the file that is being made. Where a mailbox is there from an earlier run, what
 * both begin with is taken over from it by a link, and only the rest is written.
 */
import type { FileHandle } from "node:fs/promises";
import { HintError, type HintClient } from "../../fs/hints/client.ts";
import { SHARE_BYTES_MAX } from "../../fs/hints/limits.ts";
import { Skip } from "./failures.ts";
import { MessageCounter } from "./messages.ts";
import { bytesOf } from "./names.ts";
import { isOfStore } from "./sharing.ts";
import { readAt, writeAt, type Sink } from "./sink.ts";

/** A shorter beginning is written again. */
const COMMON_BYTES_MIN = 4096;
const COPY_BYTES = 1024 * 1024;

export interface Earlier {
  readonly file: FileHandle;
  readonly hintPath: string;
  readonly size: number;
  /** All of it has to stand at the beginning of the source: otherwise something would be lost. */
  readonly mustBeContained: boolean;
}

export interface Copying {
  readonly client: HintClient;
  readonly file: FileHandle;
  readonly hintPath: string;
  readonly earlier: Earlier | undefined;
  /** For what follows from this offset on. */
  readonly sinkAt: (offset: number) => Sink;
  readonly onBytes: (count: number) => void;
}

export interface Copied {
  readonly size: number;
  readonly messages: number;
  /** What was taken over from the earlier file. */
  readonly commonBytes: number;
}

export async function copyMailbox(
  chunks: AsyncIterable<Buffer>,
  { client, file, hintPath, earlier, sinkAt, onBytes }: Copying,
): Promise<Copied> {
  const counter = new MessageCounter();
  let size = 0;
  let common = 0;
  let sink: Sink | undefined;
  const begin = async (): Promise<Sink> => {
    if (earlier !== undefined) {
      if (earlier.mustBeContained && common < earlier.size) throw otherMail();
      if (common < COMMON_BYTES_MIN) {
        const bytes = await readAt(earlier.file, 0, common);
        await writeAt(file, bytes, 0);
      } else await takeOver(client, earlier, common, file, hintPath);
    }
    return sinkAt(common);
  };
  for await (const chunk of chunks) {
    counter.take(chunk);
    size += chunk.length;
    let own = chunk;
    if (sink === undefined) {
      if (earlier !== undefined) {
        const length = lengthInCommon(chunk, await readAt(earlier.file, common, chunk.length));
        common += length;
        own = chunk.subarray(length);
      }
      if (own.length > 0) sink = await begin();
    }
    if (own.length > 0) await sink!.write(own);
    onBytes(chunk.length);
  }
  sink ??= await begin();
  await sink.end();
  return { size, messages: counter.count, commonBytes: common };
}

function otherMail(): Skip {
  return new Skip("refused", "has mail or changes that the source does not have; left as it is");
}

function lengthInCommon(one: Buffer, other: Buffer): number {
  const length = Math.min(one.length, other.length);
  if (one.subarray(0, length).equals(other.subarray(0, length))) return length;
  let at = 0;
  while (one[at] === other[at]) at++;
  return at;
}

/** The caller makes sure later that the earlier file did not change meanwhile. */
async function takeOver(
  client: HintClient,
  earlier: Earlier,
  length: number,
  file: FileHandle,
  hintPath: string,
): Promise<void> {
  const path = bytesOf(earlier.hintPath);
  for (let at = 0; at < length; at += SHARE_BYTES_MAX) {
    const part = Math.min(SHARE_BYTES_MAX, length - at);
    try {
      await client.shareAll([{ path, offset: at, length: part }], bytesOf(hintPath));
      // Hints go by path: whoever owns the directory may have made it lead to somebody else's mail meanwhile.
      if (await isEqual(earlier.file, file, at, part)) continue;
      await file.truncate(at);
      await copyPart(earlier.file, file, at, part);
    } catch (error) {
      if (!(error instanceof HintError) || isOfStore(error)) throw error;
      // Too many extents, or another program's lock.
      await copyPart(earlier.file, file, at, part);
    }
  }
}

async function isEqual(
  one: FileHandle,
  other: FileHandle,
  at: number,
  length: number,
): Promise<boolean> {
  for (let done = 0; done < length; done += COPY_BYTES) {
    const bytes = Math.min(COPY_BYTES, length - done);
    const [mine, theirs] = await Promise.all([
      readAt(one, at + done, bytes),
      readAt(other, at + done, bytes),
    ]);
    if (!mine.equals(theirs)) return false;
  }
  return true;
}

async function copyPart(
  from: FileHandle,
  to: FileHandle,
  at: number,
  length: number,
): Promise<void> {
  for (let done = 0; done < length; done += COPY_BYTES) {
    const bytes = await readAt(from, at + done, Math.min(COPY_BYTES, length - done));
    await writeAt(to, bytes, at + done);
  }
}
