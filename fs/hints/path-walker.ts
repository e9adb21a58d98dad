/**
 * Finds the files that a request names, as path_resolution(7) would for the caller, inside the mount:
 * search permission on every directory, symbolic links followed. A walker lives for one request:
 * nothing else runs meanwhile, so that directories once found stay what they are.
 *
 * What was found stands in the fields until the next resolve: 10,000 paths make no garbage.
 * Not here: permission on the file itself.
 */
import { isDirectory, isRegular, S_IFLNK, S_IFMT, S_ISVTX } from "../attributes.ts";
import type { Credentials } from "../caller.ts";
import { isReservedName } from "../files/control.ts";
import { ROOT_INO } from "../files/inodes.ts";
import { NAME_LENGTH_MAX } from "../files/limits.ts";
import { MAY_EXECUTE, mayAccess } from "../permissions.ts";
import type { Inode } from "../store/state/inode.ts";
import type { Store } from "../store/store.ts";
import { LINKS_FOLLOWED_MAX, PATH_STEPS_MAX } from "./limits.ts";
import type { Reason } from "./refusals.ts";

function isSymlink(mode: number): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

export class PathWalker {
  /** The directory that holds the name. */
  parent = 0;
  /** "" when the path ends in a directory and not in a name ("a/", "..", "."). */
  name = "";
  /** 0 when the name is free. */
  ino = 0;
  inode: Inode | undefined;
  /** After a refusal: the directory in which the walk ended. */
  endedIn = 0;

  readonly #store: Store;
  readonly #who: Credentials;
  /** The directory parts of paths already walked: an inode, or why not. */
  readonly #directories = new Map<string, number | Reason>();
  #lastDirectoryPath: string | undefined;
  #lastDirectory = 0;
  /** A request of 10,000 paths, each through 40 links of 2,000 names, would take minutes. */
  #stepsLeft = PATH_STEPS_MAX;

  constructor(store: Store, who: Credentials) {
    this.#store = store;
    this.#who = who;
  }

  /** Undefined when the directory of the path exists; the name itself may be free. */
  resolve(path: string): Reason | undefined {
    const slash = path.lastIndexOf("/");
    const name = slash === -1 ? path : path.slice(slash + 1);
    if (name === "" || name === "." || name === "..") return this.#fromRoot(path);
    if (name.length > NAME_LENGTH_MAX) return this.#end("nameTooLong", ROOT_INO);
    // "/b" is in the directory "/", which is refused, and not in "".
    const directoryPath = slash === 0 ? "/" : path.slice(0, Math.max(slash, 0));
    if (directoryPath !== this.#lastDirectoryPath) {
      const found = this.#directoryAt(directoryPath);
      if (typeof found !== "number") return found;
      this.#lastDirectoryPath = directoryPath;
      this.#lastDirectory = found;
    }
    const directory = this.#lastDirectory;
    const inode = this.#store.named(directory, name);
    if (inode !== undefined && isSymlink(inode.mode)) return this.#walk(directory, [name]);
    return this.#found(directory, name, inode);
  }

  #found(parent: number, name: string, inode: Inode | undefined): Reason | undefined {
    if (isReservedName(parent, name)) return this.#end("controlFile", parent);
    this.parent = parent;
    this.name = name;
    this.ino = inode === undefined ? 0 : inode.ino;
    this.inode = inode;
    return undefined;
  }

  #end(reason: Reason, directory: number): Reason {
    this.endedIn = directory;
    return reason;
  }

  /** A directory in which the caller may look up names. */
  #directoryAt(path: string): number | Reason {
    let found = this.#directories.get(path);
    if (found === undefined) {
      found = this.#fromRoot(path === "" ? "." : path);
      if (found === undefined) {
        if (this.inode === undefined) found = this.#end("notFound", this.parent);
        else if (!isDirectory(this.inode.mode)) found = this.#end("notDirectory", this.parent);
        else if (!mayAccess(this.inode, this.#who, MAY_EXECUTE)) {
          found = this.#end("noSearch", this.ino);
        } else found = this.ino;
      }
      // A refusal ends the request or needs its endedIn: only what was found is kept.
      if (typeof found === "number") this.#directories.set(path, found);
    }
    return found;
  }

  #fromRoot(path: string): Reason | undefined {
    if (path === "") return this.#end("notFound", ROOT_INO);
    if (path.startsWith("/")) return this.#end("absolutePath", ROOT_INO);
    return this.#walk(ROOT_INO, path.split("/").toReversed());
  }

  /** `rest`: the names still to go, the next one last. */
  #walk(start: number, rest: string[]): Reason | undefined {
    let directory = this.#store.inode(start) as Inode;
    let links = 0;
    for (;;) {
      const name = rest.pop() as string;
      const last = rest.length === 0;
      if (--this.#stepsLeft < 0) return this.#end("tooManySteps", directory.ino);
      if (!mayAccess(directory, this.#who, MAY_EXECUTE)) {
        return this.#end("noSearch", directory.ino);
      }
      if (name === "..") {
        if (directory.ino === ROOT_INO) return this.#end("leavesMount", ROOT_INO);
        directory = this.#store.inode(directory.parent) as Inode;
      }
      if (name === "" || name === "." || name === "..") {
        if (last) return this.#found(directory.parent, "", directory);
        continue;
      }
      if (name.length > NAME_LENGTH_MAX) return this.#end("nameTooLong", directory.ino);
      const ino = this.#store.lookup(directory.ino, name);
      const inode = ino === 0 ? undefined : this.#store.inode(ino);
      if (inode === undefined) {
        if (last) return this.#found(directory.ino, name, undefined);
        return this.#end("notFound", directory.ino);
      }
      if (isSymlink(inode.mode)) {
        if (++links > LINKS_FOLLOWED_MAX) return this.#end("tooManyLinks", directory.ino);
        const fault = this.#follow(directory, inode, rest);
        if (fault !== undefined) return this.#end(fault, directory.ino);
      } else if (last) {
        return this.#found(directory.ino, name, inode);
      } else if (isDirectory(inode.mode)) {
        directory = inode;
      } else {
        return this.#end("notDirectory", directory.ino);
      }
    }
  }

  /** Puts the target's names before the rest. */
  #follow(directory: Inode, link: Inode, rest: string[]): Reason | undefined {
    // As with fs.protected_symlinks = 1: in a directory where everybody may put names, nobody is led
    // astray by a link that is neither their own nor the directory owner's.
    const open = (directory.mode & (S_ISVTX | 0o002)) === (S_ISVTX | 0o002);
    if (open && link.uid !== this.#who.uid && link.uid !== directory.uid) return "linkNotFollowed";
    const target = link.target.toString("latin1");
    if (target.startsWith("/")) return "leavesMount";
    if (target === "") return "notFound";
    for (const name of target.split("/").toReversed()) rest.push(name);
    return undefined;
  }
}

/** What is wrong with the file that was found, for an operation on the bytes of a regular file. */
export function notAFile(walker: PathWalker): Reason | undefined {
  if (walker.inode === undefined) return "notFound";
  if (isRegular(walker.inode.mode)) return undefined;
  return isDirectory(walker.inode.mode) ? "isDirectory" : "notRegular";
}
