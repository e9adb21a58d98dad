/** A maildir read as one mbox file. It needs no locks: a message is there whole or not at all. */
import type { BigIntStats } from "node:fs";
import { lstat, readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { attributesOf } from "./attributes.ts";
import { Skip } from "./failures.ts";
import { openToRead } from "./locked-source.ts";
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
import type { MailboxSource, OpenSource } from "./source.ts";

const KEYWORDS_FILE = "dovecot-keywords";
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

export class MaildirSource implements MailboxSource {
  readonly path: string;
  readonly isMaildir = true;
  readonly #fullPath: string;
  readonly #keywordsPath: string;

  constructor(path: string, fullPath: string) {
    this.path = path;
    this.#fullPath = fullPath;
    this.#keywordsPath = join(fullPath, KEYWORDS_FILE);
  }

  async look(): Promise<State> {
    return this.#stateOf(await this.#list());
  }

  async open(): Promise<OpenSource> {
    await this.#settle();
    const messages = (await this.#list()).sort(inOrderOfDelivery);
    const state = await this.#stateOf(messages);
    const stats = await lstat(bytesOf(this.#fullPath), { bigint: true });
    const directory = await openToRead(this.#fullPath);
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
      descriptor: directory.fd,
      chunks: () => this.#chunks(messages),
      isUnchanged: async () => isSame(await this.look(), state),
      close: () => directory.close(),
    };
  }

  async *#chunks(messages: readonly Listed[]): AsyncGenerator<Buffer> {
    const letters = readKeywordLetters(
      await readFile(bytesOf(this.#keywordsPath), "latin1").catch(() => ""),
    );
    for (const [index, message] of messages.entries()) {
      const path = join(join(this.#fullPath, message.isInCur ? "cur" : "new"), message.name);
      const file = await openToRead(path).catch((error: NodeJS.ErrnoException) => {
        // A mail program has renamed it: its flags are in the name.
        if (error.code === "ENOENT") throw new Skip("busy", "changes while it is read");
        throw error;
      });
      try {
        const { size, mtimeMs } = await file.stat();
        if (size > MESSAGE_BYTES_MAX) throw new Skip("failed", tooLong(message.name));
        const bytes = await file.readFile();
        const seconds = message.seconds ?? Math.floor(mtimeMs / 1000);
        yield Buffer.concat(
          asMbox({
            bytes,
            time: new Date(seconds * 1000),
            ...mboxFlags(message.flags, message.isInCur),
            keywords: keywordsOf(message.flags, letters),
            mailboxKeywords: index === 0 ? [...letters.values()] : [],
          }),
        );
      } finally {
        await file.close();
      }
    }
  }

  async #list(): Promise<Listed[]> {
    const all: Listed[] = [];
    for (const directory of ["cur", "new"]) {
      const path = bytesOf(join(this.#fullPath, directory));
      const entries = await readdir(path, { encoding: "buffer", withFileTypes: true });
      for (const entry of entries) {
        const name = entry.name.toString("latin1");
        // A name with a dot in front is not a message (qmail's maildir(5)).
        if (!entry.isFile() || name.startsWith(".")) continue;
        all.push({ ...readMessageName(name), isInCur: directory === "cur" });
      }
    }
    return all;
  }

  async #stateOf(messages: readonly Listed[]): Promise<State> {
    let mtimeNs = 0n;
    for (const stats of await this.#directories()) {
      if (stats.mtimeNs > mtimeNs) mtimeNs = stats.mtimeNs;
    }
    return { size: BigInt(messages.length), mtimeNs };
  }

  #directories(): Promise<BigIntStats[]> {
    const paths = ["cur", "new"].map((name) => bytesOf(join(this.#fullPath, name)));
    return Promise.all(paths.map((path) => lstat(path, { bigint: true })));
  }

  /** Until a change from now on would show. */
  async #settle(): Promise<void> {
    const now = BigInt(Date.now()) * 1_000_000n;
    const isRecent = (stats: BigIntStats): boolean =>
      stats.mtimeNs <= now && now - stats.mtimeNs < BigInt(TICK_MS) * 1_000_000n;
    if ((await this.#directories()).some(isRecent)) await sleep(TICK_MS);
  }
}

function tooLong(name: string): string {
  return `its message ${textOf(name)} has more than ${MESSAGE_BYTES_MAX / 2 ** 20} MiB; not taken`;
}

/** Who may enter the directory may read or write the file as the directory. */
function modeOf(stats: BigIntStats): number {
  return Number(stats.mode) & 0o666;
}
