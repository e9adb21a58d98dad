/**
 * Hints for other programs than the one that serves the mount: that one would wait for itself.
 *
 * A client has one request under way at a time and queues the others. Several clients work side by side,
 * but each reply that is waited for takes a thread of Node's pool (UV_THREADPOOL_SIZE, 4 unless told).
 */
import type { ReclaimStatus } from "../store/reclaim/reclaimer.ts";
import { HintChannel } from "./channel.ts";

/** A path from the mount's root: text, or bytes that are not UTF-8. */
export type ClientPath = string | Buffer;

export type ClientShared =
  | { readonly bytes: Uint8Array }
  | { readonly unit: string; readonly offset?: number; readonly length?: number };

export interface ClientTarget {
  readonly path: ClientPath;
  /** Bytes of this file alone, before the shared ones. */
  readonly private?: Uint8Array;
  /** Make the file if it is missing. */
  readonly create?: { readonly mode?: number; readonly uid?: number; readonly gid?: number };
}

export interface ClientRange {
  readonly path: ClientPath;
  readonly offset: number;
  readonly length: number;
}

export interface Delivered {
  readonly delivered: number;
  /** Those of them that show when a lock is released. */
  readonly pending: number;
}

/** The first two fields everybody gets; root gets the others too (docs/HINTS.md). */
export interface ClientStatistics {
  readonly logicalBytes: number;
  readonly files?: number;
  readonly storedBytes?: number;
  readonly sharedBytes?: number;
  readonly units?: number;
  readonly directories?: number;
  readonly segments?: number;
  readonly segmentBytes?: number;
  readonly deadBytes?: number;
  readonly deadLastBytes?: number;
  readonly deadUnindexedBytes?: number;
  readonly deadNoRoomBytes?: number;
  readonly pending?: number;
  readonly pendingNames?: number;
  readonly oldestPendingSeconds?: number;
  readonly indexLagBytes?: number;
  readonly indexLagExtents?: number;
  /** Where the space goes (fs/store/space-use.ts). */
  readonly liveMetadataBytes?: number;
  readonly deletedOpenBytes?: number;
  readonly cutOffBytes?: number;
  readonly pendingBytes?: number;
  readonly unlinkedBytes?: number;
  readonly tornBytes?: number;
  readonly indexBytes?: number;
  readonly reserveBytes?: number;
}

/** A run of a file's bytes that are in equally many other places; unit 0 is a hole. */
export interface ClientPiece {
  readonly offset: number;
  readonly length: number;
  readonly unit: number;
  readonly unitOffset: number;
  readonly others: number;
}

/** A request that was refused. */
export class HintError extends Error {
  override name = "HintError";
  /** The symbolic errno: "ENOSPC". */
  readonly code: string;
  /** The word from the list in docs/HINTS.md: "storeFull". */
  readonly reason: string;
  /** The file that is the cause, as the request named it. */
  readonly path: ClientPath | undefined;

  constructor(code: string, reason: string, path: ClientPath | undefined, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.path = path;
  }
}

export class HintClient {
  readonly #channel: HintChannel;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(channel: HintChannel) {
    this.#channel = channel;
  }

  /** Throws what open(2) says; ENOENT when `mountRoot` is no mount of ours. */
  static async open(mountRoot: string): Promise<HintClient> {
    return new HintClient(await HintChannel.open(mountRoot));
  }

  /** Appends to all files or to none; durable when it resolves. `copies`: nothing is linked. Throws HintError. */
  async deliver(
    shared: readonly ClientShared[],
    to: readonly ClientTarget[],
    { copies = false }: { readonly copies?: boolean } = {},
  ): Promise<Delivered> {
    const body: Uint8Array[] = [];
    const pieces = shared.map((piece) => {
      if (!("bytes" in piece)) return piece;
      body.push(piece.bytes);
      return { bytes: piece.bytes.length };
    });
    const targets = to.map(({ path, private: own, create }) => {
      if (own !== undefined) body.push(own);
      return { ...pathField(path), privateBytes: own?.length ?? 0, create };
    });
    const reply = await this.#request({ op: "deliver", copies, shared: pieces, to: targets }, body);
    return reply as unknown as Delivered;
  }

  /** Stores each of the byte strings and names them by tokens, for deliveries of this client. */
  async write(units: readonly Uint8Array[]): Promise<readonly string[]> {
    const lengths = units.map((unit) => unit.length);
    const reply = await this.#request({ op: "write", lengths }, units);
    return reply["units"] as readonly string[];
  }

  async forget(units: readonly string[]): Promise<void> {
    await this.#request({ op: "forget", units });
  }

  /** Appends a range of one file to another; answers where it begins there. */
  async share(from: ClientPath, offset: number, length: number, to: ClientPath): Promise<number> {
    const source = { ...pathField(from), offset, length };
    const reply = await this.#request({ op: "share", from: source, to: pathField(to) });
    return reply["offset"] as number;
  }

  /** The same for several ranges, in this order and in one change. */
  async shareAll(ranges: readonly ClientRange[], to: ClientPath): Promise<number> {
    const from = ranges.map(({ path, offset, length }) => ({ ...pathField(path), offset, length }));
    const reply = await this.#request({ op: "share", from, to: pathField(to) });
    return reply["offset"] as number;
  }

  /** Takes a range out of a file; what is behind it moves down. */
  async remove(path: ClientPath, offset: number, length: number): Promise<void> {
    await this.#request({ op: "remove", ...pathField(path), offset, length });
  }

  /** Of the whole store, or of one file. */
  async statistics(path?: ClientPath): Promise<ClientStatistics> {
    const field = path === undefined ? {} : pathField(path);
    const reply = await this.#request({ op: "statistics", ...field });
    return reply as unknown as ClientStatistics;
  }

  /** What of a file is shared, and with how many. Root only. */
  async who(path: ClientPath): Promise<readonly ClientPiece[]> {
    const pieces: ClientPiece[] = [];
    let offset: number | undefined = 0;
    while (offset !== undefined) {
      const reply = await this.#request({ op: "who", ...pathField(path), offset });
      pieces.push(...(reply["pieces"] as ClientPiece[]));
      offset = reply["next"] as number | undefined;
    }
    return pieces;
  }

  /** "now" begins: asked again, the status says when it has ended. */
  async reclaim(action: "status" | "now" | "start" | "stop"): Promise<ReclaimStatus> {
    return (await this.#request({ op: "reclaim", action })) as unknown as ReclaimStatus;
  }

  /** After the requests that are under way. */
  async close(): Promise<void> {
    await this.#last;
    this.#channel.close();
  }

  #request(
    fields: Readonly<Record<string, unknown>>,
    body: readonly Uint8Array[] = [],
  ): Promise<Readonly<Record<string, unknown>>> {
    const turn = this.#last.then(() => this.#exchange(fields, body));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #exchange(
    fields: Readonly<Record<string, unknown>>,
    body: readonly Uint8Array[],
  ): Promise<Readonly<Record<string, unknown>>> {
    let bodyBytes = 0;
    for (const piece of body) bodyBytes += piece.length;
    const line = Buffer.from(`${JSON.stringify({ ...fields, bodyBytes })}\n`);
    const request = Buffer.concat([line, ...body], line.length + bodyBytes);
    const reply = parseReply(await this.#channel.exchange(request));
    if (reply instanceof HintError) throw reply;
    return reply;
  }
}

/** What the line of a reply says, or the refusal. */
export function parseReply(line: string): Readonly<Record<string, unknown>> | HintError {
  const reply = JSON.parse(line) as Record<string, unknown>;
  if (reply["ok"] === true) return reply;
  const { error, reason, message } = reply as Record<string, string>;
  return new HintError(`${error}`, `${reason}`, pathOf(reply), `${message}`);
}

function pathField(path: ClientPath): { path: string } | { path64: string } {
  return typeof path === "string" ? { path } : { path64: path.toString("base64") };
}

function pathOf(reply: Record<string, unknown>): ClientPath | undefined {
  const { path, path64 } = reply as Record<string, string | undefined>;
  return path64 === undefined ? path : Buffer.from(path64, "base64");
}
