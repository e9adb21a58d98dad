/**
 * The conformance suite: facts about a POSIX file system, each proved in an empty directory of its own
 * by programs that use it. Run on a plain directory it proves itself. Not here: what only a mount of
 * ours does (hints, deliveries, crashes).
 */
import { attributes } from "./attributes.ts";
import { content } from "./content.ts";
import { directories } from "./directories.ts";
import { links } from "./links.ts";
import { locks } from "./locks.ts";
import { mappings } from "./mmap.ts";
import { names } from "./names.ts";
import type { Cases } from "./place.ts";
import { renames } from "./rename.ts";
import { sparse } from "./sparse.ts";
import { special } from "./special.ts";
import { times } from "./times.ts";
import { unlinked } from "./unlinked.ts";
import { users } from "./users.ts";
import { xattrs } from "./xattrs.ts";

export const groups: ReadonlyMap<string, Cases> = new Map([
  ["names", names],
  ["attributes", attributes],
  ["content", content],
  ["directories", directories],
  ["links", links],
  ["rename", renames],
  ["unlinked", unlinked],
  ["sparse", sparse],
  ["xattrs", xattrs],
  ["times", times],
  ["locks", locks],
  ["mmap", mappings],
  ["special", special],
]);

/** Cases that become other users, and so need root. */
export const rootGroups: ReadonlyMap<string, Cases> = new Map([["users", users]]);
