/** A maildir read as one mbox file. It needs no locks: a message is there whole or not at all. */
import type { BigIntStats } from "node:fs";
import { readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { grouped } from "../numbers.ts";
import { attributesOf } from "./attributes.ts";
import { Skip } from "./failures.ts";
import type { HeldDirectory } from "./held-directory.ts";
import { asMbox, MESSAGE_BYTES_MAX } from "./maildir-message.ts";
import {
  inOrderOfDelivery,
  keywordsOf,
  mboxFlags,
  readKeywordLetters,
  readMessageName,
  type MessageName,
} from "./maildir-name.ts";
import { isSame, type State } from "./mark.ts";
import { bytesOf, join, textOf } from "./names.ts";
import { readAt } from "./sink.ts";
import type { MailboxSource, OpenSource } from "./source.ts";

const KEYWORDS_FILE = "dovecot-keywords";
/** Dovecot keeps 26 keywords in it. */
const KEYWORDS_BYTES_MAX = 64 * 1024;
/** A change in the same tick of the clock would not show in the directory's time. */
const TICK_MS = 20;
/** So that mail programs see new mail in the mbox file: it was read before it was changed. */
const READ_BEFORE_NS = 1_000_000_000n;

interface Listed extends MessageName {
  readonly isInCur: boolean;
}

export function isMaildir(names: ReadonlySet<string>): boolean {
  return ["cur", "new", "tmp"].every((name) => names.has(name));
}

interface Parts {
  readonly cur: HeldDirectory;
  readonly new: HeldDirectory;
}

/** It is read through `directory`, which the caller holds open. */
export class MaildirSource implements MailboxSource {
  readonly path: string;
  readonly isMaildir = true;
  /** What was found in it and is not taken: by its path in the maildir, why. */
  readonly refused = new Map<string, string>();
  readonly #directory: HeldDirectory;

  constructor(path: string, directory: HeldDirectory) {
    this.path = path;
    this.#directory = directory;
  }

  async look(): Promise<State> {
    const parts = await this.#openParts();
    try {
      return await stateOf(parts, await this.#list(parts));
    } finally {
      await closeParts(parts);
    }
  }

  async open(): Promise<OpenSource> {
    const parts = await this.#openParts();
    try {
      await settle(parts);
      const messages = (await this.#list(parts)).sort(inOrderOfDelivery);
      const state = await stateOf(parts, messages);
      const { stats, file } = this.#directory;
      const hasNew = messages.some(({ isInCur }) => !isInCur);
      const attributes = {
        ...attributesOf(stats),
        mode: modeOf(stats),
        times: {
          mtimeNs: state.mtimeNs,
          atimeNs: hasNew ? state.mtimeNs - READ_BEFORE_NS : state.mtimeNs,
        },
      };
      return {
        state,
        attributes,
        isSparse: false,
        descriptor: file.fd,
        chunks: () => this.#chunks(parts, messages),
        isUnchanged: async () => isSame(await this.look(), state),
        close: () => closeParts(parts),
      };
    } catch (error) {
      await closeParts(parts);
      throw error;
    }
  }

  async #openParts(): Promise<Parts> {
    const cur = await this.#directory.enter("cur").catch(inPart("cur"));
    try {
      return { cur, new: await this.#directory.enter("new").catch(inPart("new")) };
    } catch (error) {
      await cur.close();
      throw error;
    }
  }

  async *#chunks(parts: Parts, messages: readonly Listed[]): AsyncGenerator<Buffer> {
    const letters = readKeywordLetters(await this.#keywords());
    let isFirst = true;
    for (const message of messages) {
      const read = await this.#read(parts, message);
      if (read === undefined) continue;
      const seconds = message.seconds ?? Math.floor(read.mtimeMs / 1000);
      yield Buffer.concat(
        asMbox({
          bytes: read.bytes,
          time: new Date(seconds * 1000),
          ...mboxFlags(message.flags, message.isInCur),
          keywords: keywordsOf(message.flags, letters),
          mailboxKeywords: isFirst ? [...letters.values()] : [],
        }),
      );
      isFirst = false;
    }
  }

  /** Undefined for what is refused. */
  async #read(
    parts: Parts,
    { name, isInCur }: Listed,
  ): Promise<{ bytes: Buffer; mtimeMs: number } | undefined> {
    const part = isInCur ? "cur" : "new";
    try {
      return await readRegular(parts[part], name, this.#directory.stats.uid, MESSAGE_BYTES_MAX);
    } catch (error) {
      // A mail program has renamed it: its flags are in the name.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        throw new Skip("busy", "changes while it is read");
      }
      if (!(error instanceof Skip)) throw error;
      // Too long: a mailbox that looks whole must not lack mail of its owner's.
      if (error.reason === "failed") throw new Skip("failed", tooLong(name));
      if (error.reason !== "refused") throw error;
      this.refused.set(join(part, name), error.message);
      return undefined;
    }
  }

  /** "" without them. */
  async #keywords(): Promise<string> {
    const directory = this.#directory;
    try {
      const { uid } = directory.stats;
      const { bytes } = await readRegular(directory, KEYWORDS_FILE, uid, KEYWORDS_BYTES_MAX);
      return bytes.toString("latin1");
    } catch (error) {
      if (error instanceof Skip) this.refused.set(KEYWORDS_FILE, error.message);
      return "";
    }
  }

  async #list(parts: Parts): Promise<Listed[]> {
    const all: Listed[] = [];
    for (const part of ["cur", "new"] as const) {
      const path = bytesOf(parts[part].at(""));
      const entries = await readdir(path, { encoding: "buffer", withFileTypes: true });
      for (const entry of entries) {
        const name = entry.name.toString("latin1");
        // A name with a dot in front is not a message (qmail's maildir(5)).
        if (name.startsWith(".")) continue;
        if (entry.isFile()) all.push({ ...readMessageName(name), isInCur: part === "cur" });
        else this.refused.set(join(part, name), "no regular file; not read");
      }
    }
    return all;
  }
}

function tooLong(name: string): string {
  return `its message ${textOf(name)} has more than ${MESSAGE_BYTES_MAX / 2 ** 20} MiB; not taken`;
}

function inPart(part: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof Skip ? new Skip(error.reason, `${part}: ${error.message}`) : error;
  };
}

async function closeParts(parts: Parts): Promise<void> {
  await Promise.all([parts.cur.close(), parts.new.close()]);
}

/** It becomes bytes of a file that belongs to `owner`. */
async function readRegular(
  directory: HeldDirectory,
  name: string,
  owner: bigint,
  bytesMax: number,
): Promise<{ bytes: Buffer; mtimeMs: number }> {
  const file = await directory.openRegular(name);
  try {
    const stats = await file.stat({ bigint: true });
    directory.checkLinks(stats, owner);
    if (stats.size > bytesMax) throw new Skip("failed", `more than ${grouped(bytesMax)} bytes`);
    // What grows meanwhile is read no further.
    return { bytes: await readAt(file, 0, Number(stats.size)), mtimeMs: Number(stats.mtimeMs) };
  } finally {
    await file.close();
  }
}

async function stateOf(parts: Parts, messages: readonly Listed[]): Promise<State> {
  let mtimeNs = 0n;
  for (const stats of await statsOf(parts)) {
    if (stats.mtimeNs > mtimeNs) mtimeNs = stats.mtimeNs;
  }
  return { size: BigInt(messages.length), mtimeNs };
}

function statsOf(parts: Parts): Promise<BigIntStats[]> {
  return Promise.all([parts.cur, parts.new].map(({ file }) => file.stat({ bigint: true })));
}

/** Until a change from now on would show. */
async function settle(parts: Parts): Promise<void> {
  const now = BigInt(Date.now()) * 1_000_000n;
  const isRecent = (stats: BigIntStats): boolean =>
    stats.mtimeNs <= now && now - stats.mtimeNs < BigInt(TICK_MS) * 1_000_000n;
  if ((await statsOf(parts)).some(isRecent)) await sleep(TICK_MS);
}

/** Who may enter the directory may read or write the file as the directory. */
function modeOf(stats: BigIntStats): number {
  return Number(stats.mode) & 0o666;
}
