/** Trees of mailboxes for the tests of `onespool import`: made in a plain directory, compared by a program. */
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountAt, readMounts } from "../cli/mountinfo.ts";
import { command, run, serve, type Ended } from "./cli-process.ts";
import { readCorpus } from "./system/corpus.ts";
import { sourcePath } from "./system/source.ts";

export interface Tap {
  teardown(done: () => Promise<void>): unknown;
}

/** Private header lines, common ones, a body: as a delivery to one of several recipients leaves it. */
export function mboxMessage(bytes: Buffer, recipient: string, status = ""): Buffer {
  const own = `From a@example.org Thu Jan  1 00:00:00 1970\nDelivered-To: ${recipient}\n${status}`;
  return Buffer.concat([Buffer.from(own), bytes, Buffer.from(bytes.at(-1) === 10 ? "\n" : "\n\n")]);
}

let corpus: readonly Buffer[] | undefined;

export function corpusMessages(): readonly Buffer[] {
  corpus ??= readCorpus(200).messages.map(({ bytes }) => bytes);
  return corpus;
}

export interface Site {
  readonly directory: string;
  readonly source: string;
  readonly store: string;
  readonly mountpoint: string;
}

/** Whatever is mounted at the end is taken away. */
export function site(t: Tap): Site {
  const directory = mkdtempSync(join(tmpdir(), "onespool-test-import-"));
  const mountpoint = join(directory, "mnt");
  const source = join(directory, "source");
  mkdirSync(mountpoint);
  mkdirSync(source);
  t.teardown(async () => {
    if (mountAt(readMounts(), mountpoint)) await run("umount", "-i", "-c", "-l", mountpoint);
    rmSync(directory, { recursive: true, force: true });
  });
  return { directory, source, store: join(directory, "store"), mountpoint };
}

/** A mount in a process of its own, which ends with the test. */
export async function served(t: Tap, { store, mountpoint }: Site): Promise<() => Promise<void>> {
  const { child } = await serve(store, mountpoint);
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  const end = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
  };
  t.teardown(end);
  return end;
}

/** For a mailbox of `user`; every seventh message is another one for each. */
export function userMailbox(user: number, count: number): Buffer {
  const messages = corpusMessages();
  const pieces = Array.from({ length: count }, (_, index) => {
    const number = index % 7 === 0 ? index + user * 13 : index;
    const status = index % 2 === 0 ? "Status: RO\n" : "";
    return mboxMessage(messages[number % messages.length]!, `user${user}`, status);
  });
  return Buffer.concat(pieces);
}

export function writeMailbox(path: string | Buffer, bytes: Buffer | string): void {
  writeFileSync(path, bytes);
}

/** Sets times that only nanoseconds tell apart. */
export async function age(path: string, number: number): Promise<void> {
  const atime = `@${1_500_000_000 + number}.${String(123_456_789 - number)}`;
  const mtime = `@${1_400_000_000 + number}.${String(987_654_321 - number)}`;
  await run("touch", "-h", "-a", "-d", atime, "--", path);
  await run("touch", "-h", "-m", "-d", mtime, "--", path);
}

export function maildir(path: string, messages: ReadonlyMap<string, Buffer>): void {
  for (const part of ["cur", "new", "tmp"]) mkdirSync(join(path, part), { recursive: true });
  for (const [name, bytes] of messages) writeFileSync(join(path, name), bytes);
}

/** Names with blanks, bytes that are no UTF-8, hyphens in front; folders, links, owners, modes, attributes. */
export async function oddTree(source: string): Promise<void> {
  const at = (name: string): string => join(source, name);
  for (let user = 0; user < 6; user++) {
    writeMailbox(at(`user${user}`), userMailbox(user, 40));
    chownSync(at(`user${user}`), 20_000 + user, 8);
    chmodSync(at(`user${user}`), user === 0 ? 0o4755 : 0o660);
  }
  mkdirSync(at("folders of user0/a/b"), { recursive: true });
  writeMailbox(at("folders of user0/a/b/deep"), userMailbox(9, 3));
  writeMailbox(at("folders of user0/-rf"), "From nobody\n\nbody\n\n");
  writeMailbox(at(" "), "no mbox\0at all");
  writeMailbox(at("line\nend"), "\r\n");
  writeMailbox(at("empty"), "");
  writeMailbox(at("n".repeat(255)), "long name\n");
  writeMailbox(Buffer.concat([Buffer.from(source), Buffer.from("/caf\xe9", "latin1")]), "latin1\n");
  symlinkSync("user1", at("link"));
  symlinkSync(Buffer.from("no\xffwhere", "latin1"), at("dangling"));
  linkSync(at("user2"), at("folders of user0/second name"));
  mkdirSync(at("private"), { mode: 0o700 });
  chownSync(at("private"), 20_001, 20_001);
  writeMailbox(at("private/large"), Buffer.alloc(5 << 20, "0123456789\n"));
  await run("truncate", "-s", "3M", at("sparse"));
  await run(
    "python3",
    "-c",
    "import os,sys; os.setxattr(sys.argv[1], 'user.note', b'x')",
    at("user3"),
  );
  chmodSync(source, 0o2775);
  chownSync(source, 0, 8);
  const all = [
    "user0",
    "user1",
    "user3",
    "empty",
    "private/large",
    "private",
    "folders of user0/a",
  ];
  for (const [index, name] of [...all, "link"].entries()) await age(at(name), index);
  await age(source, 99);
}

/** One line for each name, without those that match. */
export async function snapshot(directory: string, without?: RegExp): Promise<string[]> {
  const script = sourcePath("test/import-snapshot.py");
  const { stdout, stderr, code } = await run("timeout", "50", "python3", script, directory);
  if (code !== 0) throw new Error(stderr);
  return stdout
    .trimEnd()
    .split("\n")
    .filter((line) => without === undefined || !without.test(JSON.parse(line).path));
}

export async function importing(...args: string[]): Promise<Ended> {
  return run(process.execPath, command, "import", ...args);
}
