/** What users do with links, pipes and renames in directories of their own, while root imports. */
import t from "tap";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { lstat, open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { copyMailbox } from "../cli/import/copying.ts";
import { HeldDirectory } from "../cli/import/held-directory.ts";
import { PlainSink } from "../cli/import/sink.ts";
import { TemporaryDirectory } from "../cli/import/temporary.ts";
import type { HintClient } from "../fs/hints/client.ts";
import { noKernelBinding, run } from "./cli-process.ts";
import { importing, maildir, served, site, userMailbox, writeMailbox } from "./import-tree.ts";

const skip = noKernelBinding();
const noRoot = process.getuid?.() === 0 ? false : "not root";
t.setTimeout(120_000);

const USER = 20_001;
const SECRET = "Subject: secret\n\nof root\n";
const MAIL = Buffer.from("Subject: mail\n\ntext\n");

async function contents(path: string): Promise<string> {
  return (await run("timeout", "20", "cat", path)).stdout;
}

t.test("a maildir whose cur is a symbolic link is refused", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint, directory } = place;
  mkdirSync(join(directory, "root"));
  writeFileSync(join(directory, "root/1.key"), SECRET);
  maildir(join(source, "u"), new Map());
  rmSync(join(source, "u/cur"), { recursive: true });
  symlinkSync(join(directory, "root"), join(source, "u/cur"));
  maildir(join(source, "v"), new Map([["cur/1.h:2,", MAIL]]));
  await served(t, place);
  const { code, stdout, stderr } = await importing("--json", source, mountpoint);
  t.equal(code, 1);
  t.match(JSON.parse(stdout), { taken: 1, skipped: [{ path: "u", reason: "refused" }] });
  t.match(stderr, /u: cur: a symbolic link or a file is where a directory should be\n/);
  t.notOk(existsSync(join(mountpoint, "u")));
  t.match(await contents(join(mountpoint, "v")), "Subject: mail\n");
});

t.test(
  "what is no regular file of a maildir's owner is named and not read",
  { skip: skip || noRoot },
  async (t) => {
    const place = site(t);
    const { source, mountpoint, directory } = place;
    const secret = join(directory, "secret");
    writeFileSync(secret, SECRET, { mode: 0o600 });
    const u = join(source, "u");
    maildir(u, new Map([["cur/1.h:2,", MAIL]]));
    symlinkSync(secret, join(u, "cur/2.h:2,"));
    linkSync(secret, join(u, "new/3.h"));
    await run("mkfifo", join(u, "new/4.h"));
    await run("mkfifo", join(u, "dovecot-keywords"));
    for (const name of ["", "cur", "new", "tmp", "cur/1.h:2,"]) chownSync(join(u, name), USER, 8);
    // The same one twice is one file of two names.
    linkSync(join(u, "cur/1.h:2,"), join(u, "cur/5.h:2,"));
    // In a directory of the user's own.
    mkdirSync(join(source, "d"));
    linkSync(secret, join(source, "d/mbox"));
    chownSync(join(source, "d"), USER, 8);
    await served(t, place);
    const { code, stdout } = await importing("--json", source, mountpoint);
    t.equal(code, 1);
    const told = JSON.parse(stdout) as { skipped: { path: string; reason: string }[] };
    t.strictSame(
      told.skipped.map(({ path, reason }) => `${path} ${reason}`).sort(),
      ["d/mbox", "u/cur/2.h:2,", "u/dovecot-keywords", "u/new/3.h", "u/new/4.h"].map(
        (path) => `${path} refused`,
      ),
    );
    const text = await contents(join(mountpoint, "u"));
    t.equal(text.split("Subject: mail\n").length - 1, 2);
    t.notMatch(text, "secret");
    t.notOk(existsSync(join(mountpoint, "d/mbox")));
  },
);

t.test("a file of keywords without end costs no memory", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint } = place;
  const u = join(source, "u");
  maildir(u, new Map([["cur/1.h:2,a", MAIL]]));
  writeFileSync(join(u, "dovecot-keywords"), "0 receipt\n".repeat(10_000));
  await served(t, place);
  const { code, stderr } = await importing(source, mountpoint);
  t.equal(code, 1);
  t.match(stderr, /dovecot-keywords: more than 65,536 bytes\n/);
  t.notMatch(await contents(join(mountpoint, "u")), "receipt");
});

t.test("a directory that is swapped for a link leads nowhere else", async (t) => {
  const { source, directory } = site(t);
  mkdirSync(join(source, "d/deep"), { recursive: true });
  writeFileSync(join(source, "d/deep/mail"), "mine");
  mkdirSync(join(directory, "root/deep"), { recursive: true });
  writeFileSync(join(directory, "root/deep/mail"), SECRET);
  const top = await HeldDirectory.open(source);
  const held = await top.enter("d");
  renameSync(join(source, "d"), join(source, "away"));
  symlinkSync(join(directory, "root"), join(source, "d"));
  const deep = await held.enter("deep");
  const file = await deep.openRegular("mail");
  t.equal(await file.readFile("utf8"), "mine", "what is held is what it was");
  await t.rejects(top.enter("d"), { name: "Skip", reason: "refused" });
  rmSync(join(source, "away/deep/mail"));
  symlinkSync(join(directory, "root/deep/mail"), join(source, "away/deep/mail"));
  await t.rejects(deep.openRegular("mail"), { name: "Skip", reason: "refused" });
  await Promise.all([file.close(), deep.close(), held.close(), top.close()]);
});

t.test("a directory of the target that is a link to outside is refused", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint, directory } = place;
  const outside = join(directory, "profile.d");
  mkdirSync(outside);
  mkdirSync(join(source, "d/e"), { recursive: true });
  writeMailbox(join(source, "d/mail"), userMailbox(1, 3));
  writeMailbox(join(source, "d/e/mail"), userMailbox(1, 3));
  maildir(join(source, "m"), new Map());
  maildir(join(source, "m/.A"), new Map([["cur/1.h:2,", MAIL]]));
  const before = statSync(outside);
  await served(t, place);
  for (const name of ["d", "m.folders"]) symlinkSync(outside, join(mountpoint, name));
  for (const args of [[], ["--share"]]) {
    if (args.length > 0 && noRoot) continue;
    const { code, stdout } = await importing("--json", ...args, source, mountpoint);
    t.equal(code, 1);
    const told = JSON.parse(stdout) as { skipped: { path: string }[] };
    t.strictSame([...new Set(told.skipped.map(({ path }) => path))], ["d", "m/.A", "m"]);
    t.equal((await run("ls", "-A", outside)).stdout, "");
    t.equal(statSync(outside).mode, before.mode);
  }
});

t.test("a mailbox swapped while a hint takes it over brings no mail of others", async (t) => {
  const { directory } = site(t);
  const [earlierPath, madePath] = [join(directory, "earlier"), join(directory, "made")];
  const mine = userMailbox(1, 20);
  writeFileSync(earlierPath, mine);
  const [earlier, made] = await Promise.all([open(earlierPath, "r"), open(madePath, "w+")]);
  // As the spool does it when the path leads to somebody else's mailbox at that moment.
  const shareAll = async (
    ranges: readonly { offset: number; length: number }[],
  ): Promise<number> => {
    for (const { offset, length } of ranges)
      await made.write(Buffer.alloc(length, "x"), 0, length, offset);
    return 0;
  };
  await copyMailbox(Readable.from([mine]), {
    client: { shareAll } as unknown as HintClient,
    file: made,
    hintPath: "made",
    earlier: { file: earlier, hintPath: "earlier", size: mine.length, mustBeContained: false },
    sinkAt: (offset) => new PlainSink(made, offset, false),
    onBytes: () => undefined,
  });
  t.ok(readFileSync(madePath).equals(mine));
  await Promise.all([earlier.close(), made.close()]);
});

t.test(
  "nobody else comes to what is being made, and nothing of it is left",
  { skip: skip || noRoot },
  async (t) => {
    const place = site(t);
    const { source, mountpoint } = place;
    writeMailbox(join(source, "mail"), userMailbox(1, 3));
    await served(t, place);
    const asUser = (...args: string[]): ReturnType<typeof run> =>
      run("timeout", "20", "setpriv", "--reuid", `${USER}`, "--clear-groups", ...args);
    chmodSync(place.directory, 0o755);
    const { dev } = await lstat(mountpoint, { bigint: true });
    const temporaries = await TemporaryDirectory.open(mountpoint, dev);
    const { name, file } = await temporaries.make();
    const path = join(mountpoint, name);
    t.equal((await run("stat", "-c", "%u %a", join(path, ".."))).stdout, "0 700\n");
    t.not((await asUser("cat", path)).code, 0);
    t.not((await asUser("mv", path, join(mountpoint, "mine"))).code, 0);
    // Another import at the same time leaves them, for they are locked.
    t.match(await importing("--share", source, mountpoint), { code: 0 });
    t.ok(existsSync(path));
    await file.close();
    await temporaries.end();
    t.match(await importing("--share", source, mountpoint), { code: 0 });
    t.equal((await run("ls", "-A", mountpoint)).stdout, "mail\n");

    // A directory of somebody else is not used.
    mkdirSync(join(mountpoint, ".onespool-import"));
    chownSync(join(mountpoint, ".onespool-import"), USER, USER);
    const { code, stderr } = await importing(source, mountpoint);
    t.equal(code, 1);
    t.match(stderr, /\.onespool-import: something of somebody else is in the way\n/);
  },
);
