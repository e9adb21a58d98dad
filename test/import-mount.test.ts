import t from "tap";
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { noKernelBinding, onespool, onespoolFrom, run, start } from "./cli-process.ts";
import {
  importing,
  maildir,
  mboxMessage,
  corpusMessages,
  oddTree,
  served,
  site,
  snapshot,
  userMailbox,
  writeMailbox,
} from "./import-tree.ts";

const skip = noKernelBinding();
// Each step is a process of its own, which takes its time on a busy machine.
t.setTimeout(240_000);

async function contents(path: string): Promise<string> {
  return (await run("timeout", "20", "cat", path)).stdout;
}

t.test("a tree comes in as it is, and again changes nothing", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint, store, directory } = place;
  await oddTree(source);
  const server = createServer().listen(join(source, "socket"));
  await new Promise((ready) => server.once("listening", ready));
  await run("mkfifo", join(source, "pipe"));
  writeMailbox(join(source, "user1.lock"), "1");
  const late = new Date(Date.now() - 3_600_000);
  utimesSync(join(source, "user1.lock"), late, late);
  mkdirSync(join(source, ".imap/INBOX"), { recursive: true });
  writeMailbox(join(source, ".imap/INBOX/dovecot.index"), "index");
  await run("touch", "-d", "@1234567890.5", source);
  const out = /^(?:socket|pipe|user1\.lock|\.imap)/;
  const before = await snapshot(source, out);
  const end = await served(t, place);

  const dry = await importing("-n", source, mountpoint);
  t.match(dry, { code: 0, stdout: /^would be taken: 15 files/ });
  t.equal((await run("ls", "-A", mountpoint)).stdout, "", "a dry run makes nothing");

  const first = await importing(source, mountpoint);
  t.equal(first.code, 0);
  t.match(first.stderr, /socket: a socket, pipe or device; not taken\n/);
  t.match(first.stdout, /^taken: 15 files, updated: 0, there already: 0\n/);
  t.match(first.stdout, "left out (indexes, lock files): 2\nskipped: 2, named above\n");
  t.strictSame(await snapshot(mountpoint), before);
  t.strictSame(await snapshot(source, out), before, "the source is as it was");

  const again = await importing("--json", source, mountpoint);
  const told = JSON.parse(again.stdout);
  t.match(told, { taken: 0, updated: 0, unchanged: 15, bytes: 0, messages: 0, hardLinks: 1 });
  t.match(told.skipped, [
    { path: "pipe", reason: "special" },
    { path: "socket", reason: "special" },
  ]);
  t.strictSame(await snapshot(mountpoint), before);
  server.close();

  // As from another tool: without the import's notes, size and time decide.
  const copy = join(directory, "copy");
  mkdirSync(join(mountpoint, "copied"));
  await run("cp", "-a", `${source}/user1`, join(mountpoint, "copied/user1"));
  mkdirSync(copy);
  await run("cp", "-a", `${source}/user1`, copy);
  const inDirectory = await importing("--json", copy, join(mountpoint, "copied"));
  t.match(JSON.parse(inDirectory.stdout), { taken: 0, unchanged: 1 });
  const made = await importing("--json", copy, join(mountpoint, "made"));
  t.match(JSON.parse(made.stdout), { taken: 1 });
  await end();
  t.match(await onespool("fsck", store), { code: 0, stdout: /: clean; / });
});

t.test(
  "a store is served for the time, and only where nothing else is meant",
  { skip },
  async (t) => {
    const place = site(t);
    const { source, mountpoint, store } = place;
    writeMailbox(join(source, "one"), userMailbox(1, 5));
    for (const target of [store, mountpoint]) {
      const { code, stderr } = await importing(source, target);
      t.equal(code, 1);
      t.match(stderr, `${target}: nothing is mounted there and it is not a store yet`);
    }
    t.match(await importing(source, join(source, "in")), { code: 1, stderr: /inside each other/ });
    t.match(await importing(source, place.directory), { code: 1, stderr: /inside each other/ });
    t.match(await importing(join(source, "one"), store), { code: 1, stderr: /not a directory/ });
    t.match(await importing("--create", source, store), { code: 0, stdout: /^taken: 1 files/ });
    t.match(await importing(source, store), { code: 0, stdout: /there already: 1\n/ });
    const end = await served(t, place);
    t.match(await importing(source, store), {
      code: 1,
      stderr: `onespool: ${store}: is mounted at ${mountpoint}: name that instead\n`,
    });
    t.strictSame(await snapshot(mountpoint), await snapshot(source));
    await end();
  },
);

t.test("the second run takes what has changed in the source since", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint } = place;
  const end = await served(t, place);
  const names = ["grown", "flagged", "expunged", "same", "same but used", "both", "gone"];
  for (const name of names) writeMailbox(join(source, name), userMailbox(1, 20));
  t.equal((await importing(source, mountpoint)).code, 0);
  const stored = async (): Promise<number> =>
    JSON.parse((await onespool("stat", "--json", mountpoint)).stdout).segmentBytes;
  const before = await stored();
  const more = mboxMessage(corpusMessages()[100]!, "user1");
  const whole = userMailbox(1, 20);
  appendFileSync(join(source, "grown"), more);
  writeFileSync(
    join(source, "flagged"),
    whole.toString("latin1").replace("Status: RO", "Status: O "),
    "latin1",
  );
  writeFileSync(join(source, "expunged"), whole.subarray(0, whole.lastIndexOf("\n\nFrom ") + 2));
  appendFileSync(join(source, "both"), more);
  rmSync(join(source, "gone"));
  writeMailbox(join(source, "new"), more);
  const mail = "Subject: later\n\nlater\n";
  for (const name of ["both", "same but used"]) {
    t.match(await onespoolFrom(mail, "deliver", "-", join(mountpoint, name)), { code: 0 });
  }
  const used = await contents(join(mountpoint, "both"));
  const second = await importing("--json", source, mountpoint);
  t.equal(second.code, 1);
  t.match(JSON.parse(second.stdout), {
    taken: 1,
    updated: 3,
    unchanged: 2,
    skipped: [{ path: "both", reason: "refused" }],
  });
  t.match(
    second.stderr,
    "both: has mail or changes that the source does not have; left as it is\n",
  );
  for (const name of ["grown", "flagged", "expunged", "same", "new"]) {
    t.ok(
      (await contents(join(mountpoint, name))) === readFileSync(join(source, name), "latin1") ||
        (await run("cmp", join(source, name), join(mountpoint, name))).code === 0,
      name,
    );
  }
  t.equal(await contents(join(mountpoint, "both")), used, "what was refused is as it was");
  t.match(await contents(join(mountpoint, "same but used")), /later\n\n$/);
  t.equal((await run("test", "-e", join(mountpoint, "gone"))).code, 0, "nothing is removed");
  const written = (await stored()) - before;
  const rest = whole.length * 2 + more.length * 2;
  t.ok(written < rest + 65_536, `${written} bytes written; what both begin with is taken over`);

  // A program that renames a new file over the old one takes the import's note away.
  const lost = join(mountpoint, "same");
  await run("sh", "-c", 'cp "$1" "$1.new" && mv "$1.new" "$1"', "-", lost);
  appendFileSync(join(source, "same"), more);
  const third = await importing("--json", source, mountpoint);
  t.match(JSON.parse(third.stdout), { updated: 1, unchanged: 5 });
  t.equal((await run("cmp", join(source, "same"), lost)).code, 0, "all of it was in the source");
  await end();
  t.match(await onespool("fsck", place.store), { code: 0, stdout: /: clean; / });
});

t.test("what is there already and is something else is left alone", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint } = place;
  await served(t, place);
  const names = ["mail", "directory", "symlink", "good", "beginning"];
  for (const name of names) writeMailbox(join(source, name), userMailbox(2, 4));
  mkdirSync(join(source, "folder"));
  writeMailbox(join(source, "folder/x"), "x\n");
  const setUp =
    'cd "$1" && echo other > mail && mkdir directory && ln -s /etc/passwd symlink && echo x > folder && head -c 9000 "$2" > beginning';
  await run("sh", "-c", setUp, "-", mountpoint, join(source, "mail"));
  const { code, stdout, stderr } = await importing("--json", source, mountpoint);
  t.equal(code, 1);
  t.match(JSON.parse(stdout), { taken: 1, updated: 1, skippedCount: 4 });
  t.match(stderr, "folder: something else is there already\n");
  t.equal(await contents(join(mountpoint, "mail")), "other\n");
  t.equal((await run("cmp", join(source, "good"), join(mountpoint, "good"))).code, 0);
  t.equal((await run("cmp", join(source, "beginning"), join(mountpoint, "beginning"))).code, 0);
  t.equal((await run("ls", "-A", mountpoint)).stdout.includes(".onespool-import"), false);
});

t.test("maildirs become mailboxes that Python's mbox reader reads", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint } = place;
  await served(t, place);
  const body = (text: string): Buffer => Buffer.from(`Subject: ${text}\n\nFrom ${text}\n`);
  const user = join(source, "carol");
  maildir(
    user,
    new Map([
      ["new/30.M1.h", body("third")],
      ["cur/10.M2.h:2,S", body("second")],
      ["cur/10.M1.h:2,FRSa", body("first")],
      ["dovecot-uidlist", Buffer.from("3 V1 N4\n")],
      ["dovecot-keywords", Buffer.from("0 Work\n")],
    ]),
  );
  maildir(join(user, ".Archive"), new Map([["cur/5.h:2,T", body("archived")]]));
  maildir(join(user, ".Archive.2024"), new Map([["new/6.h", body("deep")]]));
  maildir(join(user, ".Lists.x"), new Map());
  writeFileSync(join(user, "strange"), "");
  await run("chown", "-R", "20005:20005", user);
  await run("chmod", "0700", user);
  const first = await importing("--json", source, mountpoint);
  t.equal(first.code, 0);
  t.match(JSON.parse(first.stdout), {
    taken: 4,
    maildirs: 4,
    messages: 5,
    leftOut: 2,
    skippedCount: 1,
  });
  const stats = await run("stat", "-c", "%u %a", join(mountpoint, "carol"));
  t.equal(stats.stdout, "20005 600\n");
  const times = (await run("stat", "-c", "%X %Y", join(mountpoint, "carol"))).stdout.split(" ");
  t.ok(Number(times[0]) < Number(times[1]), "new mail shows");
  const script = `
import mailbox, sys
for message in mailbox.mbox(sys.argv[1], create=False):
    print(message["subject"], message.get_flags(), (message["x-keywords"] or "").strip(), message.get_payload().strip())`;
  const read = async (name: string): Promise<string> =>
    (await run("timeout", "20", "python3", "-c", script, join(mountpoint, name))).stdout;
  t.equal(
    await read("carol"),
    "first ROAF Work >From first\nsecond RO  >From second\nthird   >From third\n",
  );
  t.equal(await read("carol.folders/Archive"), "archived OD  >From archived\n");
  t.equal(await read("carol.folders/Archive.folders/2024"), "deep   >From deep\n");
  t.equal(await read("carol.folders/Lists/x"), "");
  t.match(JSON.parse((await importing("--json", source, mountpoint)).stdout), { unchanged: 4 });
  renameSync(join(user, "new/30.M1.h"), join(user, "cur/30.M1.h:2,S"));
  t.match(JSON.parse((await importing("--json", source, mountpoint)).stdout), {
    unchanged: 3,
    updated: 1,
  });
  t.match(await read("carol"), /third RO {2}>From third\n$/);

  t.match(await importing(user, join(mountpoint, "one")), { code: 0 });
  t.match(await read("one/INBOX"), /^first /);
  t.match(await read("one/Archive.folders/2024"), /^deep /);
});

t.test("a locked mailbox is waited for, and left for the next run", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint } = place;
  await served(t, place);
  for (const name of ["fcntl", "dotlock", "stale", "free"]) {
    writeMailbox(join(source, name), userMailbox(3, 3));
  }
  writeMailbox(join(source, "dotlock.lock"), "");
  writeMailbox(join(source, "stale.lock"), "");
  const old = new Date(Date.now() - 3_600_000);
  utimesSync(join(source, "stale.lock"), old, old);
  const holder = `
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()`;
  const child = start("python3", ["-c", holder, join(source, "fcntl")]);
  await new Promise((ready) => child.stdout!.once("data", ready));
  const first = await importing("--json", "--lock-wait", "0", source, mountpoint);
  t.equal(first.code, 1);
  t.match(JSON.parse(first.stdout), {
    taken: 2,
    skipped: [
      { path: "dotlock", reason: "locked" },
      { path: "fcntl", reason: "locked" },
    ],
  });
  const waiting = importing("--json", source, mountpoint);
  child.stdin!.end();
  rmSync(join(source, "dotlock.lock"));
  t.match(JSON.parse((await waiting).stdout), { taken: 2, unchanged: 2, skippedCount: 0 });
  t.equal((await waiting).code, 0);
});

t.test("no delivery is lost while its mailbox is brought up to date", { skip }, async (t) => {
  const place = site(t);
  const { source, mountpoint } = place;
  await served(t, place);
  const path = join(source, "busy");
  writeMailbox(path, userMailbox(4, 30));
  t.equal((await importing(source, mountpoint)).code, 0);
  let delivered = 0;
  let outcomes = 0;
  for (let round = 0; round < 5; round++) {
    appendFileSync(path, mboxMessage(corpusMessages()[round]!, "busy"));
    const updating = importing("--json", source, mountpoint);
    const number = `${round}`.padStart(4, "0");
    const mail = `Subject: delivery ${number}\n\ntext\n`;
    const done = await onespoolFrom(mail, "deliver", "-", join(mountpoint, "busy"));
    t.equal(done.code, 0);
    delivered++;
    const told = JSON.parse((await updating).stdout);
    outcomes += told.updated + told.skippedCount;
  }
  const found = (await contents(join(mountpoint, "busy"))).match(/^Subject: delivery \d{4}$/gm);
  t.equal(found?.length, delivered);
  t.equal(outcomes, 5, "each run has updated it or said why not");
});
