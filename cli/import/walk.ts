/**
 * The tree of the source, name by name. What concerns one name only is reported, and the others go on;
 * directories get their modes and times when all in them is done.
 */
import type { BigIntStats } from "node:fs";
import {
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  readdir,
  readlink,
  rename,
  symlink,
} from "node:fs/promises";
import { isReservedName } from "../../fs/files/control.ts";
import { ROOT_INO } from "../../fs/files/inodes.ts";
import { attributesOf, copyXattrs, setAttributes } from "./attributes.ts";
import type { ImportContext } from "./context.ts";
import { fromSource, Skip, skipFor } from "./failures.ts";
import { FileSource } from "./file-source.ts";
import { openToRead } from "./locked-source.ts";
import { FOREIGN, importMailbox } from "./mailbox.ts";
import { folderPath, FOLDERS_SUFFIX } from "./maildir-name.ts";
import { isMaildir, MaildirSource } from "./maildir-source.ts";
import { decide, originOf } from "./mark.ts";
import { bytesOf, isDotlock, isIndex, join, TEMPORARY_PREFIX, textOf } from "./names.ts";
import { lstatOrNothing, openExisting } from "./target-file.ts";
import { removeLeftOvers, temporaryName } from "./temporary.ts";
import { nodeTimes } from "./times.ts";

const MAILDIR_PARTS: ReadonlySet<string> = new Set(["cur", "new", "tmp"]);
/** What servers keep in a maildir besides messages: it means nothing in an mbox. */
const MAILDIR_NOTES =
  /^(?:dovecot.*|courierimap.*|maildirfolder|maildirsize|subscriptions|\.?nfs.*|.*\.lock)$/;
const INBOX = "INBOX";

export class Walk {
  readonly #context: ImportContext;
  /** Files of several names, by device and inode: where the first of them went. */
  readonly #linked = new Map<string, string>();
  /** For each mailbox of the target, the source that this run takes for it. */
  readonly #claims = new Map<string, string>();

  constructor(context: ImportContext) {
    this.#context = context;
  }

  async run(): Promise<void> {
    const names = await this.#namesOf("");
    if (isMaildir(new Set(names))) {
      await this.#guarded("", () => this.#maildir("", INBOX, ""));
      await this.#endDirectory("", "", await this.#sourceStats(""));
    } else await this.#directory("", "", await this.#sourceStats(""), names);
  }

  #sourceStats(path: string): Promise<BigIntStats> {
    const full = bytesOf(join(this.#context.source, path));
    return fromSource(() => lstat(full, { bigint: true }));
  }

  /** Sorted by byte. */
  async #namesOf(path: string): Promise<string[]> {
    const full = bytesOf(join(this.#context.source, path));
    const names = await fromSource(() => readdir(full, { encoding: "buffer" }));
    return names.map((name) => name.toString("latin1")).sort();
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

  async #directory(
    from: string,
    to: string,
    stats: BigIntStats,
    names: readonly string[],
  ): Promise<void> {
    await this.#beginDirectory(to);
    const all = new Set(names);
    for (const name of names) {
      this.#context.signal.throwIfAborted();
      await this.#guarded(join(from, name), () => this.#entry(from, to, name, all));
    }
    await this.#endDirectory(from, to, stats);
  }

  async #entry(from: string, to: string, name: string, all: ReadonlySet<string>): Promise<void> {
    const { report, options, progress } = this.#context;
    progress.show(report.progress(report.bytes));
    const isLeftOut =
      isDotlock(name, all) ||
      name.startsWith(TEMPORARY_PREFIX) ||
      (isIndex(name) && !options.withIndexes);
    if (isLeftOut) {
      report.leftOut++;
      return;
    }
    const path = join(from, name);
    const target = join(to, name);
    if (this.#context.hintTarget === "" && to === "" && isReservedName(ROOT_INO, name)) {
      throw new Skip("refused", "the top directory of a spool cannot have this name; not taken");
    }
    const stats = await this.#sourceStats(path);
    if (stats.isDirectory()) {
      const names = await this.#namesOf(path);
      if (isMaildir(new Set(names))) {
        await this.#maildir(path, target, target + FOLDERS_SUFFIX);
      } else await this.#directory(path, target, stats, names);
    } else if (stats.isFile()) await this.#file(path, target, stats);
    else if (stats.isSymbolicLink()) await this.#symlink(path, target, stats);
    else throw new Skip("special", "a socket, pipe or device; not taken");
  }

  async #file(path: string, target: string, stats: BigIntStats): Promise<void> {
    const { source, options, signal } = this.#context;
    this.#claim(path, target);
    const key = stats.nlink > 1n ? `${stats.dev}:${stats.ino}` : undefined;
    const first = key === undefined ? undefined : this.#linked.get(key);
    if (first !== undefined) {
      await this.#hardLink(first, path, target, stats);
      return;
    }
    const wait = { msMax: options.lockWaitMsMax, signal };
    const mailbox = new FileSource(path, join(source, path), wait);
    // Which of its names comes first may be another one in the next run.
    const origin = key === undefined ? originOf(path) : undefined;
    await importMailbox(this.#context, mailbox, target, origin);
    if (key !== undefined) this.#linked.set(key, target);
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

  async #hardLink(first: string, path: string, target: string, stats: BigIntStats): Promise<void> {
    const { report, options } = this.#context;
    report.hardLinks++;
    if (options.isDry) return;
    const from = join(this.#context.target, first);
    const to = join(this.#context.target, target);
    const existing = await openExisting(to);
    if (existing === undefined) {
      await link(bytesOf(from), bytesOf(to));
      return;
    }
    await existing.file.close();
    if (existing.stats.ino === (await lstatOrNothing(from))?.ino) return;
    const state = { size: stats.size, mtimeNs: stats.mtimeNs };
    const decision = decide(state, existing.stats, existing.mark, originOf(path));
    if (decision === "foreign") throw new Skip("refused", FOREIGN);
    if (decision === "extend") {
      throw new Skip("refused", "has mail or changes that the source does not have; left as it is");
    }
    // Its other name has been brought up to date, by a new file.
    const name = `${to.slice(0, to.lastIndexOf("/") + 1)}${temporaryName()}`;
    await link(bytesOf(from), bytesOf(name));
    await rename(bytesOf(name), bytesOf(to));
  }

  async #symlink(path: string, target: string, stats: BigIntStats): Promise<void> {
    const { source, report, options } = this.#context;
    report.symlinks++;
    if (options.isDry) return;
    const full = bytesOf(join(source, path));
    const content = await fromSource(() => readlink(full, { encoding: "buffer" }));
    const to = bytesOf(join(this.#context.target, target));
    const existing = await lstatOrNothing(join(this.#context.target, target));
    if (existing === undefined) await symlink(content, to);
    else {
      const isSame =
        existing.isSymbolicLink() && content.equals(await readlink(to, { encoding: "buffer" }));
      if (!isSame) throw new Skip("refused", "something else is there already");
    }
    if (process.getuid?.() === 0) await lchown(to, Number(stats.uid), Number(stats.gid));
    await lutimes(to, ...nodeTimes(stats));
  }

  /** `folders`: the directory of its subfolders in the target, "" for the top. */
  async #maildir(path: string, target: string, folders: string): Promise<void> {
    const { source } = this.#context;
    const names = await this.#namesOf(path);
    const subfolders: string[] = [];
    for (const name of names) {
      if (MAILDIR_PARTS.has(name)) continue;
      const isFolder = await this.#isMaildirAt(join(path, name));
      if (isFolder) subfolders.push(name);
      else if (MAILDIR_NOTES.test(name)) this.#context.report.leftOut++;
      else this.#skipInMaildir(join(path, name));
    }
    if (folders === "") await this.#beginDirectory("");
    await this.#guarded(path, () => {
      this.#claim(path, target);
      const mailbox = new MaildirSource(path, join(source, path));
      return importMailbox(this.#context, mailbox, target, originOf(path));
    });
    if (subfolders.length > 0) await this.#folders(path, folders, subfolders);
  }

  #skipInMaildir(path: string): void {
    const text = "is no message and no folder of its maildir; not taken";
    this.#context.report.skip({ path, reason: "inMaildir", text });
    this.#context.tell(path, text);
  }

  /** All of one maildir: Maildir++ keeps them in one directory, dots in their names making the tree. */
  async #folders(path: string, folders: string, names: readonly string[]): Promise<void> {
    const stats = await this.#sourceStats(path);
    const all = new Set(names);
    const made = new Set<string>();
    for (const name of names) {
      this.#context.signal.throwIfAborted();
      const from = join(path, name);
      await this.#guarded(from, async () => {
        // Without a dot in front it is a folder of the layout in which folders are subdirectories.
        const place = name.startsWith(".") ? folderPath(name, all) : name;
        if (place === undefined) throw new Skip("refused", "its name gives no name for a file");
        const target = join(folders, place);
        await this.#makeParents(target, made);
        await this.#maildir(from, target, target + FOLDERS_SUFFIX);
      });
    }
    for (const directory of [...made].sort().toReversed()) {
      if (directory !== "") await this.#endDirectory(path, directory, stats);
    }
  }

  async #makeParents(target: string, made: Set<string>): Promise<void> {
    const parts = target.split("/").slice(0, -1);
    for (let length = 1; length <= parts.length; length++) {
      const directory = parts.slice(0, length).join("/");
      if (made.has(directory)) continue;
      await this.#beginDirectory(directory);
      made.add(directory);
    }
  }

  async #isMaildirAt(path: string): Promise<boolean> {
    if (!(await this.#sourceStats(path)).isDirectory()) return false;
    return isMaildir(new Set(await this.#namesOf(path)));
  }

  /** Nobody else may enter a new one before it is done. */
  async #beginDirectory(path: string): Promise<void> {
    const { target, options } = this.#context;
    const full = join(target, path);
    const existing = await lstatOrNothing(full);
    if (existing === undefined) {
      if (!options.isDry) await mkdir(bytesOf(full), { mode: 0o700 });
      return;
    }
    if (!existing.isDirectory()) throw new Skip("refused", "something else is there already");
    if (options.isDry) return;
    const names = await readdir(bytesOf(full), { encoding: "buffer" });
    await removeLeftOvers(
      full,
      names.map((name) => name.toString("latin1")),
    );
  }

  async #endDirectory(from: string, to: string, stats: BigIntStats): Promise<void> {
    const { source, target, report, options, sharing } = this.#context;
    report.directories++;
    if (options.isDry) return;
    // It lies in the top directory, whose times come now.
    if (to === "") await sharing?.end();
    const [given, made] = await Promise.all([
      fromSource(() => openToRead(join(source, from))),
      openToRead(join(target, to)),
    ]);
    try {
      await copyXattrs(given.fd, made.fd);
      await setAttributes(made, attributesOf(stats));
      await made.sync();
    } finally {
      await Promise.all([given.close(), made.close()]);
    }
  }
}
