import t from "tap";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatShared } from "../fs/mbox/format.ts";
import { isOnespool, mountAt, readMounts } from "../cli/mountinfo.ts";
import {
  killWithKeeper,
  noKernelBinding,
  onespool,
  onespoolFrom,
  run,
  serve,
  start,
} from "./cli-process.ts";

const message = "Return-Path: <a@example.org>\nSubject: one\n\nFrom here to there\n";
const shared = formatShared(Buffer.from(message)).toString("latin1");
const skip = noKernelBinding();
// Each step is a process of its own, which takes its time on a busy machine.
t.setTimeout(240_000);

interface Place {
  readonly store: string;
  readonly mountpoint: string;
  readonly file: string;
}

/** A directory with a mount point and a message; whatever is mounted at the end is taken away. */
function place(t: Tap): Place {
  const directory = mkdtempSync(join(tmpdir(), "onespool-cli-"));
  const mountpoint = join(directory, "spool");
  const file = join(directory, "message");
  mkdirSync(mountpoint);
  writeFileSync(file, message);
  t.teardown(async () => {
    if (mounted(mountpoint)) await run("umount", "-i", "-c", "-l", mountpoint);
    rmSync(directory, { recursive: true, force: true });
  });
  return { store: join(directory, "store"), mountpoint, file };
}

interface Tap {
  teardown(done: () => Promise<void>): unknown;
}

function mounted(mountpoint: string): boolean {
  const entry = mountAt(readMounts(), mountpoint);
  return entry !== undefined && isOnespool(entry);
}

/** Through a child: a test that read it by itself would hang with a server that hangs. */
async function contents(path: string): Promise<string> {
  return (await run("timeout", "20", "cat", path)).stdout;
}

t.test(
  "a daemon's mount takes one message into many mailboxes and stores it once",
  { skip },
  async (t) => {
    const { store, mountpoint, file } = place(t);
    const started = await onespool("mount", store, mountpoint, "--daemon");
    t.same(started, {
      code: 0,
      stdout: `${store} is mounted at ${mountpoint} (kernel binding)\n`,
      stderr: "",
    });
    const names = Array.from({ length: 30 }, (_, index) => `user${index}`);
    const mailboxes = names.map((name) => join(mountpoint, name));
    t.same(await onespool("deliver", file, ...mailboxes), {
      code: 0,
      stdout: "delivered to 30 mailboxes\n",
      stderr: "",
    });
    const last = await contents(mailboxes[29]!);
    t.match(
      last,
      /^From a@example\.org \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\nReturn-Path: <a@example\.org>\nDelivered-To: user29\n/,
    );
    t.ok(last.endsWith(shared));
    t.equal((await run("stat", "-c", "%a %u", mailboxes[0]!)).stdout, "600 0\n");

    const ofMount = JSON.parse((await onespool("stat", mountpoint, "--json")).stdout);
    const privateBytes = last.length - shared.length;
    t.match(ofMount, { files: 30, pending: 0, deadBytes: 0, sharedBytes: shared.length });
    // The names have one or two digits.
    t.equal(ofMount.logicalBytes, 30 * last.length - 10);
    t.equal(ofMount.storedBytes, 30 * privateBytes - 10 + shared.length);
    const ofStore = JSON.parse((await onespool("stat", store, "--json")).stdout);
    // It is filled in the background.
    t.same({ ...ofStore, reserveBytes: 0 }, { ...ofMount, reserveBytes: 0 });
    t.match(JSON.parse((await onespool("stat", mailboxes[29]!, "--json")).stdout), {
      logicalBytes: last.length,
      sharedBytes: shared.length,
    });

    t.match(await onespool("fsck", store), { code: 1, stderr: /in use by process \d+/ });
    t.match(await onespool("mount", store, mountpoint), {
      code: 1,
      stderr: /mounted there already/,
    });
    t.same(await onespool("umount", mountpoint), { code: 0, stdout: "", stderr: "" });
    t.notOk(mounted(mountpoint));
    t.match(await onespool("fsck", store), { code: 0, stdout: /: clean; names 30, / });
    const closed = JSON.parse((await onespool("stat", store, "--json")).stdout);
    t.equal(closed.storedBytes, ofMount.storedBytes);
    t.match(readFileSync(join(store, "onespool.log"), "utf8"), "is mounted at");
  },
);

t.test(
  "a delivery with one mailbox that cannot be leaves all as they were",
  { skip },
  async (t) => {
    const { store, mountpoint, file } = place(t);
    const { child } = await serve(store, mountpoint);
    const good = join(mountpoint, "good");
    await run("mkdir", join(mountpoint, "directory"));
    const bad = join(mountpoint, "directory");
    t.match(await onespool("deliver", file, good, bad), {
      code: 1,
      stderr: `onespool: ${bad}: is a directory\n`,
    });
    for (const [mailbox, text] of [
      [mountpoint, "is a directory"],
      [`${bad}/`, "is a directory"],
      [join(mountpoint, "new/"), "no such file or directory"],
      [join(mountpoint, "directory/none/"), "no such file or directory"],
    ] as const) {
      const { code, stderr } = await onespool("deliver", file, good, mailbox);
      t.same([code, stderr], [1, `onespool: ${mailbox}: ${text}\n`]);
    }
    t.match(await onespoolFrom("", "deliver", "-", good), {
      code: 1,
      stderr: "onespool: -: empty message\n",
    });
    t.match(await onespool("deliver", file, good, file), {
      code: 1,
      stderr: `onespool: ${file}: not in a mounted spool\n`,
    });
    t.match(await onespool("deliver", file, good, good), {
      code: 1,
      stderr: /names the file twice/,
    });
    t.match(await run("ls", mountpoint), { stdout: "directory\n" });
    child.kill("SIGTERM");
    t.same(await once(child, "exit"), [0, null]);
  },
);

t.test("a message from standard input may be longer than one request", { skip }, async (t) => {
  const { store, mountpoint } = place(t);
  const { child } = await serve(store, mountpoint);
  const long = Buffer.concat([
    Buffer.from("Subject: long\n\n"),
    Buffer.alloc(20 << 20, "0123456\n"),
  ]);
  const mailboxes = [join(mountpoint, "a"), join(mountpoint, "b")];
  t.match(await onespoolFrom(long, "deliver", "-f", "x@y", "-", ...mailboxes), {
    code: 0,
    stdout: "delivered to 2 mailboxes\n",
  });
  const found = JSON.parse((await onespool("stat", mountpoint, "--json")).stdout);
  t.equal(found.sharedBytes, formatShared(long).length);
  t.equal((await run("cmp", ...mailboxes)).code, 1, "Delivered-To differs");
  const tails = await run(
    "bash",
    "-c",
    'cmp <(tail -c 20971520 "$1") <(tail -c 20971520 "$2")',
    "-",
    ...mailboxes,
  );
  t.same(tails, { code: 0, stdout: "", stderr: "" });
  child.kill("SIGINT");
  t.same(await once(child, "exit"), [0, null]);
  t.match(await onespool("fsck", store), { code: 0 });
});

t.test("SIGINT unmounts and closes the store although a program is inside", { skip }, async (t) => {
  const { store, mountpoint, file } = place(t);
  const { child, line } = await serve(store, mountpoint, "--binding", "kernel");
  t.equal(line, `${store} is mounted at ${mountpoint} (kernel binding)\n`);
  await onespool("deliver", file, join(mountpoint, "a"));
  const script = 'cd "$1" && echo inside && exec sleep 50';
  const inside = start("bash", ["-c", script, "-", mountpoint]);
  await once(inside.stdout!, "data");
  child.kill("SIGINT");
  t.same(await once(child, "exit"), [0, null]);
  t.notOk(mounted(mountpoint));
  t.match(await onespool("fsck", store), { code: 0, stdout: /names 1, / });
  inside.kill("SIGKILL");
});

t.test(
  "the mount of a server that was killed is replaced, with all that was answered",
  { skip },
  async (t) => {
    const { store, mountpoint, file } = place(t);
    const { child } = await serve(store, mountpoint);
    await onespool("deliver", file, join(mountpoint, "a"));
    const exited = once(child, "exit");
    await killWithKeeper(store);
    await exited;
    t.ok(mounted(mountpoint));
    t.match(await onespool("stat", mountpoint), {
      code: 1,
      stderr: /the process that served this mount is gone/,
    });
    t.match(await onespool("mount", store, mountpoint, "-d"), {
      code: 0,
      stderr: /removed a mount whose server was gone/,
    });
    t.ok((await contents(join(mountpoint, "a"))).endsWith(shared));
    t.match(await onespool("umount", mountpoint), { code: 0 });
  },
);

t.test(
  "a store inside a spool or a store is refused, and so nothing is made",
  { skip },
  async (t) => {
    const { store, mountpoint } = place(t);
    const { child } = await serve(store, mountpoint);
    const other = join(mountpoint, "..", "other");
    mkdirSync(other);
    t.match(await onespool("mount", join(mountpoint, "a/b"), other), {
      code: 1,
      stderr: /a\/b: lies in the spool that is mounted at /,
    });
    t.match(await onespool("mount", join(store, "a/b"), other), {
      code: 1,
      stderr: /a\/b: lies in the store /,
    });
    t.match(await run("ls", mountpoint), { stdout: "" });
    child.kill("SIGTERM");
    t.same(await once(child, "exit"), [0, null]);
  },
);

t.test("deliver_dirs that do not exist are warned of", { skip }, async (t) => {
  const { store, mountpoint } = place(t);
  const first = await serve(store, mountpoint);
  await run("mkdir", join(mountpoint, "dé"));
  first.child.kill("SIGTERM");
  await once(first.child, "exit");
  const options = ["-d", "-o", "deliver=12,deliver_dirs=/dé:/none"];
  t.match(await onespool("mount", store, mountpoint, ...options), {
    code: 0,
    stderr: "onespool: deliver_dirs: /none: no such directory in the spool yet\n",
  });
  t.match(await onespool("umount", mountpoint), { code: 0 });
});

t.test("a daemon that cannot mount says why and leaves with its exit code", { skip }, async (t) => {
  const { store, mountpoint } = place(t);
  mkdirSync(store);
  writeFileSync(join(store, "something"), "");
  const { code, stdout, stderr } = await onespool("mount", store, mountpoint, "--daemon");
  t.equal(code, 1);
  t.equal(stdout, "");
  t.match(stderr, /^onespool: [^\n]*is not a store[^\n]*\n$/);
});
