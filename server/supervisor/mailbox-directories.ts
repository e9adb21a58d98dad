/** Directories that mailboxes need and that do not depend on the user: one for each domain, or a fixed one. Pure. */
import { posix } from "node:path";
import type { RecipientsConfig } from "../config/config.ts";

/** Paths from the root of the mount, each once. */
export function mailboxDirectories({ mailbox, domains }: RecipientsConfig): string[] {
  const directory = posix.dirname(mailbox);
  if (directory === "." || directory.includes("{user}")) return [];
  return [...new Set(domains.map((domain) => directory.replace("{domain}", () => domain)))];
}
