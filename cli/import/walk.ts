/**
 * The tree of the source, name by name. What concerns one name only is reported, and the others go on;
 * directories get their modes and times when all in them is done.
 */
import type { BigIntStats } from "node:fs";
import { lchown, link, lutimes, mkdir, readlink, rename, symlink, unlink } from "node:fs/promises";
import { isReservedName } from "../../fs/files/control.ts";
import { ROOT_INO } from "../../fs/files/inodes.ts";
import { attributesOf, copyXattrs, setAttributes } from "./attributes.ts";
import type { ImportContext } from "./context.ts";
import { fromSource, Skip, skipFor } from "./failures.ts";
import { FileSource } from "./file-source.ts";
import { HeldDirectory } from "./held-directory.ts";
import { FOREIGN, importMailbox } from "./mailbox.ts";
import { folderPath, FOLDERS_SUFFIX } from "./maildir-name.ts";
import { isMaildir, MaildirSource } from "./maildir-source.ts";
import { decide, originOf } from "./mark.ts";
import { bytesOf, isDotlock, isIndex, join, TEMPORARY_PREFIX, textOf } from "./names.ts";
import type { Reason } from "./report.ts";
import { lstatOrNothing, openExisting } from "./target-file.ts";
import { TEMPORARY_DIRECTORY } from "./temporary.ts";
import { nodeTimes } from "./times.ts";

const MAILDIR_PARTS: ReadonlySet<string> = new Set(["cur", "new", "tmp"]);
/** What servers keep in a maildir besides messages: it means nothing in an mbox. */
const MAILDIR_NOTES =
  /^(?:dovecot.*|courierimap.*|maildirfolder|maildirsize|subscriptions|\.?nfs.*|.*\.lock)$/;
const NOT_MAIL = "is no message and no folder of its maildir; not taken";
const INBOX = "INBOX";
/** Each level holds a descriptor in either tree. */
const DEPTH_MAX = 200;

interface Linked {
  /** Directory in the target, and the name in it. */
  readonly directory: string;
  readonly name: string;
  readonly ino: bigint;
}

export class Walk {
  readonly #context: ImportContext;
  /** Files of several names, by device and inode: where the first of them went. */
  readonly #linked = new Map<string, Linked>();
  /** For each mailbox of the target, the source that this run takes for it. */
  readonly #claims = new Map<string, string>();
  /** Of the target; undefined in a dry run if it is not there yet. */
  #top: HeldDirectory | undefined;

  constructor(context: ImportContext) {
    this.#context = context;
  }

  async run(): Promise<void> {
    const from = await fromSource(() => HeldDirectory.open(this.#context.source));
    try {
      this.#top = await this.#openTop();
      const names = await fromSource(() => from.names());
      if (isMaildir(new Set(names))) {
        await this.#guarded("", () => this.#maildir(from, "", this.#top, "", INBOX, ""));
        await this.#endTop(from);
      } else {
        await this.#entries(from, "", this.#top, "", names);
        await this.#endTop(from);
      }
    } finally {
      await from.close();
      await this.#top?.close();
    }
  }

  async #openTop(): Promise<HeldDirectory | undefined> {
    const { target, options, device } = this.#context;
    if (options.isDry && (await lstatOrNothing(target)) === undefined) return undefined;
    const top = await HeldDirectory.open(target);
    if (top.stats.dev === device) return top;
    await top.close();
    throw new Skip("refused", "the target is no longer in the spool");
  }

  /** Reports what keeps one name from being taken. */
  async #guarded(path: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      const { reason, message } = skipFor(error);
      this.#context.report.skip({ path, reason, text: message });
      this.#context.tell(path, message);
    }
  }

  async #entries(
    from: HeldDirectory,
    path: string,
    to: HeldDirectory | undefined,
    target: string,
    names: readonly string[],
  ): Promise<void> {
    const all = new Set(names);
    for (const name of names) {
      this.#context.signal.throwIfAborted();
      await this.#guarded(join(path, name), async () => {
        if (!this.#isLeftOut(name, all)) await this.#entry(from, path, to, target, name);
      });
    }
  }

  #isLeftOut(name: string, all: ReadonlySet<string>): boolean {
    const { report, options, progress } = this.#context;
    progress.show(report.progress(report.bytes));
    const isLeftOut =
      isDotlock(name, all) ||
      name === TEMPORARY_DIRECTORY ||
      name.startsWith(TEMPORARY_PREFIX) ||
      (isIndex(name) && !options.withIndexes);
    if (isLeftOut) report.leftOut++;
    return isLeftOut;
  }

  /** `path`, `target`: of the directories. */
  async #entry(
    from: HeldDirectory,
    path: string,
    to: HeldDirectory | undefined,
    target: string,
    name: string,
  ): Promise<void> {
    if (this.#context.hintTarget === "" && target === "" && isReservedName(ROOT_INO, name)) {
      throw new Skip("refused", "the top directory of a spool cannot have this name; not taken");
    }
    const stats = await fromSource(() => from.lstat(name));
    if (stats.isDirectory()) await this.#directory(from, path, to, target, name);
    else if (stats.isFile()) await this.#file(from, join(path, name), to, target, name, stats);
    else if (stats.isSymbolicLink()) await this.#symlink(from, to, name, stats);
    else throw new Skip("special", "a socket, pipe or device; not taken");
  }

  async #directory(
    parent: HeldDirectory,
    parentPath: string,
    parentTo: HeldDirectory | undefined,
    parentTarget: string,
    name: string,
  ): Promise<void> {
    const path = join(parentPath, name);
    if (path.split("/").length > DEPTH_MAX) {
      throw new Skip("refused", `more than ${DEPTH_MAX} directories deep; not taken`);
    }
    const from = await fromSource(() => parent.enter(name));
    try {
      const names = await fromSource(() => from.names());
      if (isMaildir(new Set(names))) {
        await this.#maildir(from, path, parentTo, parentTarget, name, name + FOLDERS_SUFFIX);
        return;
      }
      await this.#inDirectories(parentTo, [name], async (to) => {
        await this.#entries(from, path, to, join(parentTarget, name), names);
        await this.#endDirectory(from, to);
      });
    } finally {
      await from.close();
    }
  }

  async #file(
    from: HeldDirectory,
    path: string,
    to: HeldDirectory | undefined,
    directory: string,
    name: string,
    stats: BigIntStats,
  ): Promise<void> {
    const target = join(directory, name);
    this.#claim(path, target);
    from.checkLinks(stats, from.stats.uid);
    const key = stats.nlink > 1n ? `${stats.dev}:${stats.ino}` : undefined;
    const first = key === undefined ? undefined : this.#linked.get(key);
    if (first !== undefined) {
      await this.#hardLink(first, path, to, name, stats);
      return;
    }
    const { options, signal } = this.#context;
    const wait = { msMax: options.lockWaitMsMax, signal };
    const mailbox = new FileSource(path, from, name, wait);
    // Which of its names comes first may be another one in the next run.
    const origin = key === undefined ? originOf(path) : undefined;
    await importMailbox(this.#context, mailbox, to, target, origin);
    if (key === undefined) return;
    const ino = to === undefined ? 0n : ((await lstatOrNothing(to.at(name)))?.ino ?? 0n);
    this.#linked.set(key, { directory, name, ino });
  }

  /** Two sources for one mailbox would overwrite each other: the second one is left out. */
  #claim(path: string, target: string): void {
    const other = this.#claims.get(target);
    if (other === undefined) {
      this.#claims.set(target, path);
      return;
    }
    const name = other === "" ? "the maildir of the directory itself" : textOf(other);
    throw new Skip("refused", `would be ${textOf(target)} in the spool, as ${name} is; not taken`);
  }

  async #hardLink(
    first: Linked,
    path: string,
    to: HeldDirectory | undefined,
    name: string,
    stats: BigIntStats,
  ): Promise<void> {
    const { report, options } = this.#context;
    report.hardLinks++;
    if (options.isDry || to === undefined) return;
    const existing = await openExisting(to.at(name));
    await existing?.file.close();
    if (existing?.stats.ino === first.ino) return;
    if (existing !== undefined) {
      const state = { size: stats.size, mtimeNs: stats.mtimeNs };
      const decision = decide(state, existing.stats, existing.mark, originOf(path));
      if (decision === "foreign") throw new Skip("refused", FOREIGN);
      if (decision === "extend") {
        throw new Skip(
          "refused",
          "has mail or changes that the source does not have; left as it is",
        );
      }
    }
    const made = bytesOf(this.#context.temporaries!.newPath());
    try {
      const parts = first.directory === "" ? [] : first.directory.split("/");
      await this.#inDirectories(this.#top, parts, (directory) =>
        link(bytesOf(directory!.at(first.name)), made),
      );
      // Of a file that somebody has put in its place meanwhile nobody gets a second name.
      const found = await lstatOrNothing(made.toString("latin1"));
      const isRoot = process.getuid?.() === 0;
      if (found?.ino !== first.ino || (isRoot && found.uid !== stats.uid)) {
        throw new Skip("busy", "its other name is changed meanwhile");
      }
      // Its other name has been brought up to date, by a new file.
      if (existing !== undefined) await rename(made, bytesOf(to.at(name)));
      else await link(made, bytesOf(to.at(name)));
    } finally {
      await unlink(made).catch(() => undefined);
    }
  }

  /** Made where nobody else comes, for its owner is set by its name. */
  async #symlink(
    from: HeldDirectory,
    to: HeldDirectory | undefined,
    name: string,
    stats: BigIntStats,
  ): Promise<void> {
    const { report, options } = this.#context;
    report.symlinks++;
    if (options.isDry || to === undefined) return;
    const content = await fromSource(() =>
      readlink(bytesOf(from.at(name)), { encoding: "buffer" }),
    );
    const full = bytesOf(to.at(name));
    const existing = await lstatOrNothing(to.at(name));
    if (existing !== undefined) {
      const isSame =
        existing.isSymbolicLink() && content.equals(await readlink(full, { encoding: "buffer" }));
      if (!isSame) throw new Skip("refused", "something else is there already");
      return;
    }
    const made = bytesOf(this.#context.temporaries!.newPath());
    await symlink(content, made);
    try {
      if (process.getuid?.() === 0) await lchown(made, Number(stats.uid), Number(stats.gid));
      await lutimes(made, ...nodeTimes(stats));
      await link(made, full);
    } finally {
      await unlink(made).catch(() => undefined);
    }
  }

  /**
   * `name`: of its file, in `to`, which is `directory` of the target. `folders`: the directory of its subfolders there, ""
   * for `to` itself.
   */
  async #maildir(
    from: HeldDirectory,
    path: string,
    to: HeldDirectory | undefined,
    directory: string,
    name: string,
    folders: string,
  ): Promise<void> {
    const subfolders: string[] = [];
    for (const entry of await fromSource(() => from.names())) {
      if (MAILDIR_PARTS.has(entry)) continue;
      const isFolder = await this.#isMaildirAt(from, entry);
      if (isFolder) subfolders.push(entry);
      else if (MAILDIR_NOTES.test(entry)) this.#context.report.leftOut++;
      else this.#tellSkipped(join(path, entry), "inMaildir", NOT_MAIL);
    }
    await this.#guarded(path, async () => {
      const target = join(directory, name);
      this.#claim(path, target);
      const mailbox = new MaildirSource(path, from);
      try {
        await importMailbox(this.#context, mailbox, to, target, originOf(path));
      } finally {
        for (const [entry, text] of mailbox.refused) {
          this.#tellSkipped(join(path, entry), "refused", text);
        }
      }
    });
    if (subfolders.length > 0) await this.#folders(from, path, to, directory, folders, subfolders);
  }

  #tellSkipped(path: string, reason: Reason, text: string): void {
    this.#context.report.skip({ path, reason, text });
    this.#context.tell(path, text);
  }

  /** All of one maildir: Maildir++ keeps them in one directory, dots in their names making the tree. */
  async #folders(
    from: HeldDirectory,
    path: string,
    to: HeldDirectory | undefined,
    directory: string,
    folders: string,
    names: readonly string[],
  ): Promise<void> {
    const all = new Set(names);
    const made = new Set<string>();
    for (const name of names) {
      this.#context.signal.throwIfAborted();
      const folder = join(path, name);
      await this.#guarded(folder, async () => {
        // Without a dot in front it is a folder of the layout in which folders are subdirectories.
        const place = name.startsWith(".") ? folderPath(name, all) : name;
        if (place === undefined) throw new Skip("refused", "its name gives no name for a file");
        if (folder.split("/").length > DEPTH_MAX) {
          throw new Skip("refused", `more than ${DEPTH_MAX} directories deep; not taken`);
        }
        const parents = join(folders, place).split("/");
        const last = parents.pop()!;
        parents.forEach((_, index) => made.add(parents.slice(0, index + 1).join("/")));
        const sub = await fromSource(() => from.enter(name));
        try {
          await this.#inDirectories(to, parents, (parent) =>
            this.#maildir(
              sub,
              folder,
              parent,
              join(directory, parents.join("/")).replace(/\/$/, ""),
              last,
              last + FOLDERS_SUFFIX,
            ),
          );
        } finally {
          await sub.close();
        }
      });
    }
    for (const place of [...made].sort().toReversed()) {
      await this.#guarded(path, () =>
        this.#inDirectories(to, place.split("/"), (held) => this.#endDirectory(from, held)),
      );
    }
  }

  async #isMaildirAt(parent: HeldDirectory, name: string): Promise<boolean> {
    return fromSource(async () => {
      if (!(await parent.lstat(name)).isDirectory()) return false;
      const directory = await parent.enter(name);
      try {
        return isMaildir(new Set(await directory.names()));
      } finally {
        await directory.close();
      }
    });
  }

  /** With a directory below `to` held open, which is made if it is not there. */
  async #inDirectories(
    to: HeldDirectory | undefined,
    names: readonly string[],
    step: (held: HeldDirectory | undefined) => Promise<void>,
  ): Promise<void> {
    const [first, ...rest] = names;
    if (first === undefined) {
      await step(to);
      return;
    }
    const held = await this.#beginDirectory(to, first);
    try {
      await this.#inDirectories(held, rest, step);
    } finally {
      await held?.close();
    }
  }

  /** Nobody else may enter a new one before it is done. */
  async #beginDirectory(
    parent: HeldDirectory | undefined,
    name: string,
  ): Promise<HeldDirectory | undefined> {
    if (parent === undefined) return undefined;
    const existing = await lstatOrNothing(parent.at(name));
    if (existing === undefined) {
      if (this.#context.options.isDry) return undefined;
      await mkdir(bytesOf(parent.at(name)), { mode: 0o700 });
    } else if (!existing.isDirectory()) {
      throw new Skip("refused", "something else is there already");
    }
    const held = await parent.enter(name);
    if (held.stats.dev === this.#context.device) return held;
    await held.close();
    throw new Skip("refused", "another file system is mounted there");
  }

  async #endTop(from: HeldDirectory): Promise<void> {
    const { options, sharing, temporaries } = this.#context;
    if (!options.isDry) {
      // They lie in the top directory, whose times come now.
      await sharing?.end();
      await temporaries?.end();
    }
    await this.#endDirectory(from, this.#top);
  }

  async #endDirectory(from: HeldDirectory, to: HeldDirectory | undefined): Promise<void> {
    this.#context.report.directories++;
    if (this.#context.options.isDry || to === undefined) return;
    await copyXattrs(from.file.fd, to.file.fd);
    await setAttributes(to.file, attributesOf(from.stats));
    await to.file.sync();
  }
}
