/**
 * Whether a mailbox has room, decided when a recipient is named: logical bytes, those that a reader sees. Between
 * that and the delivery others may fill the mailbox, so that it may overrun by what is under way.
 *
 * A mailbox that cannot be looked at is "unknown", never "fits": the recipient is to be tried again. With one exception:
 * where nothing is mounted the mailbox seems to be missing, and the delivery will find out.
 */
import { stat } from "node:fs";
import { join } from "node:path";
import { HintClient, HintError } from "../../fs/hints/client.ts";
import type { Mailbox } from "../recipients/mailbox.ts";

export type Room = "fits" | "full" | "unknown";

export class Quotas {
  readonly #mount: string;

  constructor(mount: string) {
    this.#mount = mount;
  }

  /** `sizeBytes`: of the message, as the sender declares it; 0 if he does not. */
  check(mailbox: Mailbox, sizeBytes: number): Room | Promise<Room> {
    const { path, quotaBytes } = mailbox;
    if (quotaBytes === 0) return "fits";
    return new Promise((resolve) => {
      const decide = (size: number | undefined): void => resolve(room(size, sizeBytes, quotaBytes));
      stat(join(this.#mount, path), (error, stats) => {
        if (error === null) decide(stats.size);
        else if (error.code === "ENOENT") decide(0);
        else if (error.code === "EACCES") void this.#ask(path).then(decide);
        else resolve("unknown");
      });
    });
  }

  /** Directories may forbid the way; the deliver account may ask all the same (docs/HINTS.md, statistics). */
  async #ask(path: string): Promise<number | undefined> {
    try {
      const client = await HintClient.open(this.#mount);
      try {
        return (await client.statistics(path)).logicalBytes;
      } finally {
        await client.close();
      }
    } catch (error) {
      return error instanceof HintError && error.reason === "notFound" ? 0 : undefined;
    }
  }
}

function room(size: number | undefined, sizeBytes: number, quotaBytes: number): Room {
  if (size === undefined) return "unknown";
  return size >= quotaBytes || size + sizeBytes > quotaBytes ? "full" : "fits";
}
