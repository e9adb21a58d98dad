/** What an import did, for people and as JSON. */
import { bytes, grouped } from "../numbers.ts";
import { textOf } from "./names.ts";

/** Why something was not taken. `refused` would have lost mail; `locked` and `busy` are for the next run. */
export type Reason = "refused" | "locked" | "busy" | "failed" | "special" | "inMaildir";

/** A problem for the exit code; the others are what cannot be in a spool or is not mail. */
const problems: ReadonlySet<Reason> = new Set(["refused", "locked", "busy", "failed"]);

export interface Skipped {
  readonly path: string;
  readonly reason: Reason;
  readonly text: string;
}

/** Lines kept for the JSON; all are printed. */
const SKIPPED_MAX = 10_000;

export class Report {
  /** Files that came in for the first time, those that had changed, those that were there already. */
  taken = 0;
  updated = 0;
  unchanged = 0;
  /** Of these, maildirs that became a file. */
  maildirs = 0;
  messages = 0;
  /** Bytes of the files that were taken or updated. */
  bytes = 0;
  directories = 0;
  symlinks = 0;
  hardLinks = 0;
  /** Index files of Dovecot, dotlocks, bookkeeping inside of maildirs. */
  leftOut = 0;
  /** Ranges that were linked and not written; their bytes. */
  sharedRanges = 0;
  sharedBytes = 0;
  problems = 0;
  skippedCount = 0;
  interrupted = false;
  readonly #skipped: Skipped[] = [];

  skip(skipped: Skipped): void {
    this.skippedCount++;
    if (problems.has(skipped.reason)) this.problems++;
    if (this.#skipped.length < SKIPPED_MAX) this.#skipped.push(skipped);
  }

  progress(done: number): string {
    const files = this.taken + this.updated + this.unchanged;
    return `${grouped(files)} files, ${bytes(done)}`;
  }

  asText(isDry: boolean, isSharing: boolean): string {
    const would = isDry ? "would be " : "";
    const lines = [
      `${would}taken: ${grouped(this.taken)} files${this.#ofMaildirs()}, ${would}updated: ${grouped(this.updated)}, ` +
        `there already: ${grouped(this.unchanged)}`,
      `${grouped(this.messages)} messages, ${bytes(this.bytes)}`,
      `directories: ${grouped(this.directories)}, symbolic links: ${grouped(this.symlinks)}, hard links: ${grouped(this.hardLinks)}`,
    ];
    if (isSharing && !isDry) {
      lines.push(
        `shared: ${bytes(this.sharedBytes)} in ${grouped(this.sharedRanges)} ranges stand in a mailbox of this import already and were not stored again`,
      );
    }
    if (this.leftOut > 0) lines.push(`left out (indexes, lock files): ${grouped(this.leftOut)}`);
    if (this.skippedCount > 0) lines.push(`skipped: ${grouped(this.skippedCount)}, named above`);
    return lines.map((line) => `${line}\n`).join("");
  }

  asJson(): string {
    const { taken, updated, unchanged, maildirs, messages, directories, symlinks } = this;
    const { hardLinks, leftOut, sharedRanges, sharedBytes, skippedCount, interrupted } = this;
    const skipped = this.#skipped.map(({ path, reason, text }) => {
      return { path: textOf(path), reason, text };
    });
    const found = { taken, updated, unchanged, maildirs, messages, bytes: this.bytes };
    const tree = { directories, symlinks, hardLinks, leftOut };
    const rest = { sharedRanges, sharedBytes, interrupted, skippedCount, skipped };
    return `${JSON.stringify({ ...found, ...tree, ...rest }, undefined, 2)}\n`;
  }

  #ofMaildirs(): string {
    return this.maildirs === 0 ? "" : ` (${grouped(this.maildirs)} of them from maildirs)`;
  }
}
