/**
 * Paths to inodes. libfuse 2 speaks in paths, so each one is walked from the root.
 *
 * libfuse does not remove a file that is open: it renames it to ".fuse_hidden" and sixteen hexadecimal
 * digits, and removes that when the file is closed. (Its option against that, hard_remove, leaves open
 * files without a path, and then libfuse answers every request on them with ENOENT itself.) Here such a
 * rename removes the name, as POSIX has it, and the hidden name stays as an alias that only libfuse uses.
 */
import { EINVAL, ENOENT, ENOTDIR, isErrno, type Errno } from "../../base/errno.ts";
import { isDirectory, type Attributes } from "../attributes.ts";
import type { Caller } from "../caller.ts";
import type { Operations } from "../operations.ts";

const ROOT_INO = 1;
const HIDDEN_NAME = /^\.fuse_hidden[0-9a-f]{16}$/;
/** What fuse-native makes of bytes that are not UTF-8. */
const REPLACEMENT = "\u{fffd}";

/** A place for a name. */
export interface Place {
  readonly parent: number;
  readonly name: string;
}

/** A name as fuse-native has it (text) and as the operations have it (bytes). */
export function bytesOf(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

export function textOf(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

export class Paths {
  readonly #operations: Operations;
  readonly #caller: Caller;
  readonly #hidden = new Map<string, number>();

  constructor(operations: Operations, caller: Caller) {
    this.#operations = operations;
    this.#caller = caller;
  }

  attributes(path: string): Attributes | Errno {
    if (path === "/") return this.#operations.getAttributes(ROOT_INO);
    const place = this.place(path);
    return typeof place === "number" ? place : this.at(place);
  }

  /** The inode number, or an errno, which is negative. */
  inode(path: string): number {
    if (path === "/") return ROOT_INO;
    const attributes = this.attributes(path);
    return typeof attributes === "number" ? attributes : attributes.ino;
  }

  at(place: Place): Attributes | Errno {
    const hidden = this.#hidden.size > 0 ? this.#hidden.get(keyOf(place)) : undefined;
    if (hidden !== undefined) return this.#operations.getAttributes(hidden);
    return this.#operations.lookup(place.parent, place.name, this.#caller);
  }

  /** Where the path's last name is or would be. The path is not "/". */
  place(path: string): Place | Errno {
    const names = path.split("/");
    let parent = ROOT_INO;
    for (let i = 1; i < names.length - 1; i++) {
      const attributes = this.#operations.lookup(parent, bytesOf(names[i]!), this.#caller);
      if (isErrno(attributes)) return attributes;
      if (!isDirectory(attributes.mode)) return ENOTDIR;
      parent = attributes.ino;
    }
    const name = names.at(-1)!;
    return name === "" ? ENOENT : { parent, name: bytesOf(name) };
  }

  /** As place, for a name to be made: what is not UTF-8 would become another name, so it is refused. */
  newPlace(path: string): Place | Errno {
    return path.includes(REPLACEMENT) ? EINVAL : this.place(path);
  }

  /** Whether a rename is libfuse hiding an open file. */
  isHiding(from: Place, to: Place): boolean {
    return from.parent === to.parent && HIDDEN_NAME.test(to.name);
  }

  hide(place: Place, ino: number): void {
    this.#hidden.set(keyOf(place), ino);
  }

  /** Whether the name was a hidden one; then it is no more. */
  unhide(place: Place): boolean {
    return this.#hidden.size > 0 && this.#hidden.delete(keyOf(place));
  }

  /** The inode was closed: libfuse, which may not find its hidden name any more, has no use for it. */
  closed(ino: number): void {
    for (const [key, hidden] of this.#hidden) if (hidden === ino) this.#hidden.delete(key);
  }
}

function keyOf({ parent, name }: Place): string {
  return `${parent}/${name}`;
}
