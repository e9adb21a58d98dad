/** Messages through Delivery into the mailboxes of a real mount. */
import { spawnSync } from "node:child_process";
import { constants, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { formatPrivate, formatShared } from "../fs/mbox/format.ts";
import type { DeliveryOptions } from "../server/delivery/delivery.ts";
import { Delivery, MAILBOXES_MAX } from "../server/delivery/delivery.ts";
import type { Outcome } from "../server/delivery/outcome.ts";
import { pendingAge } from "../server/delivery/pending-age.ts";
import { Quotas } from "../server/delivery/quotas.ts";
import type { AcceptedRecipient, Transaction } from "../server/delivery/transaction.ts";
import type { Mailbox } from "../server/recipients/mailbox.ts";
import { eventually, Harness, needs } from "./system/harness.ts";

const TIMEOUT_MS = 120_000;
t.setTimeout(10 * TIMEOUT_MS);

const DELIVERER = 65_534;
const time = new Date(Date.UTC(2026, 1, 3, 4, 5, 6));
const client = {
  address: "192.0.2.1",
  name: undefined,
  helo: "client.example",
  protocol: "ESMTPS",
  tls: "TLSv1.3 TLS_AES_256_GCM_SHA384",
};
const limits = { headerBytesMax: 65_536, headerFieldsMax: 1_000, receivedFieldsMax: 50 };

function mailbox(path: string, more: Partial<Mailbox> = {}): Mailbox {
  const address = `${path}@example.test`;
  return { path, address, owner: undefined, mode: 0o600, quotaBytes: 0, ...more };
}

function recipient(path: string, more: Partial<Mailbox> = {}): AcceptedRecipient {
  return { address: `${path}@example.test`, mailboxes: [mailbox(path, more)] };
}

function transaction(
  recipients: readonly AcceptedRecipient[],
  more: Partial<Transaction> = {},
): Transaction {
  const sender = "s@example.org";
  return { id: "k3f9a0b1c2.1", sender, recipients, client, time, isSpam: false, ...more };
}

/** In pieces of 64 KiB, as sockets give them. */
async function send(
  delivery: Delivery,
  to: Transaction,
  message: Buffer,
  onPiece: (held: number) => void = () => undefined,
): Promise<Outcome> {
  const one = delivery.begin(to);
  for (let at = 0; at < message.length; at += 65_536) {
    const wait = one.write(message.subarray(at, at + 65_536));
    onPiece(one.heldBytes);
    if (wait !== undefined) await wait;
  }
  return one.finish();
}

const received = (only?: string): string =>
  "Received: from client.example ([192.0.2.1])\n" +
  "\tby mx.example.test with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384) id k3f9a0b1c2.1" +
  (only === undefined ? "" : `\n\tfor <${only}>`) +
  ";\n\tTue, 03 Feb 2026 04:05:06 +0000\n";

/** What a mailbox gets: made of the whole message by fs/mbox. */
function stored(message: Buffer, deliveredTo: string, only?: string, originalTo?: string): Buffer {
  const original = originalTo === undefined ? {} : { originalTo };
  return Buffer.concat([
    formatPrivate({ sender: "s@example.org", time, deliveredTo, ...original }),
    Buffer.from(received(only)),
    formatShared(message),
  ]);
}

function messageOf(bytes: number): Buffer {
  const header = "Message-ID: <m@example.org>\nDate: Tue, 3 Feb 2026 04:00:00 +0000\n\n";
  const line = "some text, and more of it, that makes a line\nFrom here it goes on\n";
  return Buffer.from((header + line.repeat(bytes / line.length + 1)).slice(0, bytes));
}

const short = messageOf(4_096);

/** As another user, for all threads of this process. */
async function as<T>(uid: number, what: () => Promise<T>): Promise<T> {
  process.setegid!(uid);
  process.seteuid!(uid);
  try {
    return await what();
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
  }
}

await t.test("a real mount", needs("kernel", 10 * TIMEOUT_MS), async (t) => {
  const harness = await Harness.start(t, {
    binding: "kernel",
    options: `deliver=${DELIVERER}`,
  });
  const { mount } = harness;
  const reader = harness.program();
  const read = (name: string) => reader.readFile(harness.path(name));
  const open = (more: Partial<DeliveryOptions> = {}): Delivery =>
    Delivery.create({
      mount: mount.mountpoint,
      hostname: "mx.example.test",
      share: "multi",
      limits,
      ...more,
    });
  const delivery = open();
  t.teardown(() => delivery.close());
  const statistics = async () => {
    const hints = await harness.hints(reader);
    const reply = await hints.request({ op: "statistics" });
    await reader.close(hints.fd);
    return reply as unknown as { storedBytes: number; sharedBytes: number; units: number };
  };

  await t.test("one mailbox gets the message, its Received names the recipient", async (t) => {
    const outcome = await send(delivery, transaction([recipient("one")]), short);
    const wanted = stored(short, "one@example.test", "one@example.test");
    t.match(outcome, {
      kind: "stored",
      stored: { mailboxes: 1, pending: 0, logicalBytes: wanted.length, storedBytes: wanted.length },
    });
    t.ok((await read("one")).equals(wanted));
  });

  await t.test("several get the same bytes once, and no Received names any", async (t) => {
    const names = ["two", "three", "four"];
    const before = await statistics();
    const outcome = await send(delivery, transaction(names.map((name) => recipient(name))), short);
    t.match(outcome, { kind: "stored", stored: { mailboxes: 3, pending: 0 } });
    for (const name of names) {
      t.ok((await read(name)).equals(stored(short, `${name}@example.test`)), name);
    }
    const after = await statistics();
    const shared = received().length + formatShared(short).length;
    t.equal(after.sharedBytes - before.sharedBytes, shared);
    if (outcome.kind === "stored") {
      t.equal(after.storedBytes - before.storedBytes, outcome.stored.storedBytes);
    }
  });

  await t.test("Message-ID and Date are added where they are missing", async (t) => {
    await send(delivery, transaction([recipient("bare")]), Buffer.from("Subject: x\n\nbody\n"));
    const text = (await read("bare")).toString();
    t.match(text, /^Message-ID: <[0-9a-f]{20}\.[0-9a-z]+@mx\.example\.test>$/m);
    t.match(text, /^Date: Tue, 03 Feb 2026 04:05:06 \+0000\nSubject: x$/m);
  });

  await t.test("a mailbox that is reached twice gets one copy, of the first address", async (t) => {
    const to = transaction([
      { address: "Alias@example.test", mailboxes: [mailbox("twice"), mailbox("other")] },
      recipient("twice"),
      recipient("twice"),
    ]);
    t.match(await send(delivery, to, short), { kind: "stored", stored: { mailboxes: 2 } });
    const wanted = stored(short, "twice@example.test", undefined, "Alias@example.test");
    t.ok((await read("twice")).equals(wanted));
  });

  await t.test("two names of one file get one copy", async (t) => {
    await reader.writeFile(harness.path("file"), "");
    await reader.call("os.symlink", "file", harness.path("link"));
    const to = transaction(["file", "link", "third"].map((name) => recipient(name)));
    t.match(await send(delivery, to, short), { kind: "stored", stored: { mailboxes: 2 } });
    t.ok((await read("file")).equals(stored(short, "file@example.test")));
  });

  await t.test("a mailbox is made with its owner and mode", async (t) => {
    const owner = { uid: 1_234, gid: 8 };
    await send(delivery, transaction([recipient("owned", { owner, mode: 0o640 })]), short);
    t.match(await reader.stat(harness.path("owned")), { mode: 0o100640, uid: 1_234, gid: 8 });
  });

  await t.test("addresses and names cannot write lines or comments of their own", async (t) => {
    const evil = { ...client, helo: "a b)\n(", name: "n(\r\nX: y", tls: "T)\n(", address: "::1" };
    const to = transaction([{ address: "a\n<b>@x", mailboxes: [mailbox("evil\npath")] }], {
      client: evil,
      sender: "s\nX: y",
    });
    t.match(await send(delivery, to, short), { kind: "stored" });
    const text = (await read("evil\npath")).toString();
    t.notMatch(text, /^X: y/m);
    t.match(
      text,
      "Received: from a?b??? (n???X:?y [IPv6:::1])\n\tby mx.example.test with ESMTPS (T???) id",
    );
    t.match(text, "X-Original-To: a?<b>@x\nDelivered-To: evil?path@example.test\n");
  });

  await t.test("too many Received fields, or too long a header, refuse", async (t) => {
    const to = transaction([recipient("refused")]);
    const refuse = async (message: string) => send(delivery, to, Buffer.from(message));
    t.match(await refuse(`${"Received: x\n".repeat(51)}\n`), {
      kind: "refused",
      reason: "tooManyReceived",
    });
    t.match(await refuse(`A: ${"x".repeat(65_536)}\n\n`), { reason: "headerTooLong" });
    t.match(await refuse(`${"A: x\n".repeat(1_001)}\n`), { reason: "tooManyFields" });
    const long = `${"Received: x\n".repeat(51)}\n${"x".repeat(1_000_000)}`;
    t.match(await refuse(long), { reason: "tooManyReceived" });
    t.match(await refuse(`${"Received: x\n".repeat(50)}\n`), { kind: "stored" });
  });

  await t.test("25 MiB to 100 mailboxes, never more than 256 KiB of it here", async (t) => {
    const long = messageOf(25 * 1024 * 1024);
    const names = Array.from({ length: 100 }, (_, k) => `long${k}`);
    const before = await statistics();
    let heldMax = 0;
    const to = transaction(names.map((name) => recipient(name)));
    const outcome = await send(delivery, to, long, (held) => (heldMax = Math.max(heldMax, held)));
    t.match(outcome, { kind: "stored", stored: { mailboxes: 100 } });
    t.ok(heldMax <= 256 * 1024, `${heldMax}`);
    t.ok((await read("long0")).equals(stored(long, "long0@example.test")));
    t.ok((await read("long99")).equals(stored(long, "long99@example.test")));
    const after = await statistics();
    const { length } = stored(long, "");
    t.ok(after.storedBytes - before.storedBytes < length + 20_000);
    for (const name of names.slice(1, 99)) await reader.unlink(harness.path(name));
  });

  await t.test("cut into single lines and bytes, the mailbox is the same", async (t) => {
    const message = messageOf(300_000);
    for (const [name, step] of [
      ["bytes", 7],
      ["lines", 1_001],
    ] as const) {
      const one = delivery.begin(transaction([recipient(name)]));
      for (let at = 0; at < message.length; at += step) {
        await one.write(Buffer.from(message.subarray(at, at + step)));
      }
      t.match(await one.finish(), { kind: "stored" });
      t.equal(one.contentBytes, message.length);
      const address = `${name}@example.test`;
      t.ok((await read(name)).equals(stored(message, address, address)));
    }
  });

  for (const [kind, message] of [
    ["short", short],
    ["25 MiB", messageOf(25 * 1024 * 1024)],
  ] as const) {
    await t.test(`share off, ${kind}: the same bytes, and nothing shared`, async (t) => {
      const off = open({ share: "off" });
      const names = ["a", "b", "c"].map((name) => `off-${kind}-${name}`);
      const before = await statistics();
      const to = transaction(names.map((name) => recipient(name)));
      const outcome = await send(off, to, message);
      t.match(outcome, { kind: "stored", stored: { mailboxes: 3 } });
      for (const name of names) {
        t.ok((await read(name)).equals(stored(message, `${name}@example.test`)));
      }
      const after = await statistics();
      t.equal(after.sharedBytes, before.sharedBytes);
      if (outcome.kind === "stored") {
        t.equal(outcome.stored.storedBytes, outcome.stored.logicalBytes);
        t.equal(after.storedBytes - before.storedBytes, outcome.stored.storedBytes);
      }
      for (const name of names) await reader.unlink(harness.path(name));
      await off.close();
    });
  }

  await t.test("share spam: only what was judged spam is shared", async (t) => {
    const spam = open({ share: "spam" });
    const to = ["s1", "s2", "s3"].map((name) => recipient(name));
    const before = await statistics();
    t.match(await send(spam, transaction(to), short), { kind: "stored" });
    t.equal((await statistics()).sharedBytes, before.sharedBytes);
    t.match(await send(spam, transaction(to, { isSpam: true }), short), { kind: "stored" });
    const shared = received().length + formatShared(short).length;
    t.equal((await statistics()).sharedBytes - before.sharedBytes, shared);
    const once = stored(short, "s2@example.test");
    t.ok((await read("s2")).equals(Buffer.concat([once, once])));
    await spam.close();
  });

  await t.test("2,000 recipients, and as many as there may be", async (t) => {
    for (const count of [2_000, MAILBOXES_MAX]) {
      const to = Array.from({ length: count }, (_, k) => recipient(`many${k}`));
      t.match(await send(delivery, transaction(to), short), {
        kind: "stored",
        stored: { mailboxes: count },
      });
    }
    const once = stored(short, "many1999@example.test");
    t.ok((await read("many1999")).equals(Buffer.concat([once, once])));
  });

  await t.test("a message that is given up leaves nothing", async (t) => {
    const before = await statistics();
    const one = delivery.begin(transaction([recipient("given-up")]));
    const message = messageOf(1_000_000);
    for (let at = 0; at < 900_000; at += 65_536) await one.write(message.subarray(at, at + 65_536));
    t.ok((await statistics()).units > before.units);
    void one.write(message.subarray(900_000));
    one.abort();
    // The end of the session is not waited for by anybody.
    for (let k = 0; k < 1_000 && (await statistics()).units !== before.units; k++);
    t.equal((await statistics()).units, before.units);
    t.notOk(await reader.exists(harness.path("given-up")));
  });

  await t.test("an account that can read nothing delivers, and knows sizes and ages", async (t) => {
    await reader.mkdir(harness.path("closed"), 0o700);
    const path = "closed/box";
    await send(delivery, transaction([recipient(path)]), short);
    const quota = mailbox(path, { quotaBytes: 1 });
    await as(DELIVERER, async () => {
      const account = open();
      const owner = { uid: 1_234, gid: 8 };
      const to = transaction(
        ["closed/box", "closed/new"].map((name) => recipient(name, { owner })),
      );
      t.match(await send(account, to, short), { kind: "stored", stored: { mailboxes: 2 } });
      t.match(await send(account, to, messageOf(1_000_000)), { kind: "stored" });
      t.match(await pendingAge(mount.mountpoint), { pending: 0, oldestSeconds: 0 });
      const quotas = new Quotas(mount.mountpoint);
      t.equal(await quotas.check(quota, 0), "full");
      t.equal(await quotas.check(mailbox("closed/none", { quotaBytes: 10 }), 10), "fits");
      await account.close();
    });
    const { uid } = await reader.stat(harness.path("closed/new"));
    t.equal(uid, 1_234);
    const denied = harness.program({ uid: DELIVERER, gid: DELIVERER });
    await t.rejects(denied.readFile(harness.path("closed/box")), { code: "EACCES" });
  });

  await t.test("quotas: full, or too full for what is announced", async (t) => {
    await reader.writeFile(harness.path("quota"), "x".repeat(100));
    const quotas = new Quotas(mount.mountpoint);
    const check = (quotaBytes: number, size: number) =>
      quotas.check(mailbox("quota", { quotaBytes }), size);
    t.equal(check(0, 1e9), "fits", "at once");
    t.equal(await check(101, 0), "fits");
    t.equal(await check(101, 1), "fits");
    t.equal(await check(101, 2), "full");
    t.equal(await check(100, 0), "full");
    t.equal(await quotas.check(mailbox("none", { quotaBytes: 10 }), 11), "full");
    t.equal(await quotas.check(mailbox("none", { quotaBytes: 10 }), 10), "fits");
  });

  await t.test("a mailbox that is locked gets it when it is released", async (t) => {
    await reader.writeFile(harness.path("locked"), "");
    const locker = harness.program();
    const fd = await locker.open(harness.path("locked"), constants.O_RDWR);
    await locker.call("flock", fd, 2);
    const to = transaction([recipient("locked"), recipient("unlocked")]);
    t.match(await send(delivery, to, short), {
      kind: "stored",
      stored: { mailboxes: 2, pending: 1 },
    });
    t.match(await pendingAge(mount.mountpoint), { pending: 1, oldestSeconds: Number });
    t.equal((await read("locked")).length, 0);
    await locker.close(fd);
    // Closing a file lets go of its locks a little later.
    await eventually("it shows", async () => (await read("locked")).length > 0);
    t.ok((await read("locked")).equals(stored(short, "locked@example.test")));
    t.match(await pendingAge(mount.mountpoint), { pending: 0, oldestSeconds: 0 });
  });

  await t.test("a mailbox that cannot be written refuses all, in LMTP its recipient", async (t) => {
    await reader.mkdir(harness.path("directory"));
    const alias = {
      address: "team@example.test",
      mailboxes: ["directory", "member"].map((name) => mailbox(name)),
    };
    const to = transaction([recipient("good"), alias, recipient("fine"), recipient("directory")]);
    const failed = { kind: "refused", reason: "mailboxFailed", mailbox: "directory" };
    t.match(await send(delivery, to, short), failed);
    t.notOk(await reader.exists(harness.path("good")));
    for (const message of [short, messageOf(1_000_000)]) {
      const one = delivery.begin(to);
      for (let at = 0; at < message.length; at += 65_536) {
        await one.write(message.subarray(at, at + 65_536));
      }
      const outcomes = await one.finish({ each: true });
      t.equal(outcomes.length, 4);
      t.match(outcomes[0], { kind: "stored", stored: { mailboxes: 2 } });
      t.match(outcomes[1], failed);
      t.match(outcomes[2], { kind: "stored" });
      t.match(outcomes[3], failed);
    }
    const both = [short, messageOf(1_000_000)].map((one) => stored(one, "fine@example.test"));
    t.ok((await read("fine")).equals(Buffer.concat(both)));
    t.notOk(await reader.exists(harness.path("member")), "not half of an alias");
    const none = delivery.begin(transaction([recipient("directory")]));
    await none.write(short);
    t.match(await none.finish({ each: true }), [failed]);
  });

  await t.test("many at a time wait for their turns", async (t) => {
    const few = open({ handlesMax: 2 });
    const names = Array.from({ length: 60 }, (_, k) => `turn${k}`);
    const messages = [short, messageOf(400_000)];
    const all = names.map((name, k) =>
      send(few, transaction([recipient(name)]), messages[k % 2] as Buffer),
    );
    t.ok((await Promise.all(all)).every(({ kind }) => kind === "stored"));
    for (const name of ["turn58", "turn59"]) {
      const message = messages[name === "turn58" ? 0 : 1] as Buffer;
      t.ok(
        (await read(name)).equals(stored(message, `${name}@example.test`, `${name}@example.test`)),
      );
    }
    await few.close();
  });

  await t.test("a spool that dies refuses at once, and works again when it is back", async (t) => {
    const gone = { kind: "refused", reason: "spoolGone" };
    const to = transaction([recipient("after")]);
    const long = delivery.begin(to);
    const message = messageOf(1_000_000);
    for (let at = 0; at < 500_000; at += 65_536)
      await long.write(message.subarray(at, at + 65_536));
    await mount.kill();
    t.match(await send(delivery, to, short), gone);
    t.match(await send(delivery, to, message), gone);
    t.equal(
      await new Quotas(mount.mountpoint).check(mailbox("x", { quotaBytes: 1 }), 0),
      "unknown",
    );
    await t.rejects(pendingAge(mount.mountpoint));
    await mount.serve();
    t.match(await send(delivery, to, short), { kind: "stored" });
    await long.write(message.subarray(500_000));
    t.match(await long.finish(), gone, "what was begun before is not known any more");
    const again = delivery.begin(to);
    await mount.remount();
    await again.write(short);
    t.match(await again.finish(), { kind: "stored" }, "a channel of before is replaced");
    const once = stored(short, "after@example.test", "after@example.test");
    t.ok((await read("after")).equals(Buffer.concat([once, once])));
  });

  await t.test("no mount at all refuses at once", async (t) => {
    const nowhere = open({ mount: mount.directory });
    const outcome = await send(nowhere, transaction([recipient("x")]), short);
    t.match(outcome, { kind: "refused", reason: "spoolGone", mailbox: undefined });
    await nowhere.close();
  });

  await t.test("kill -9 under load: what was answered is there, once", async (t) => {
    const names = Array.from({ length: 8 }, (_, k) => `load${k}`);
    const acknowledged = new Map<string, number>();
    const refused: string[] = [];
    const load = { isOver: false };
    const work = names.map(async (name) => {
      while (!load.isOver) {
        const outcome = await send(delivery, transaction([recipient(name)]), short);
        if (outcome.kind === "stored") acknowledged.set(name, (acknowledged.get(name) ?? 0) + 1);
        else {
          refused.push(outcome.reason);
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
    });
    for (let k = 0; k < 3; k++) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await mount.kill();
      await mount.serve();
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    load.isOver = true;
    await Promise.all(work);
    t.ok(refused.length > 0 && refused.every((reason) => reason === "spoolGone"));
    for (const name of names) {
      const one = stored(short, `${name}@example.test`, `${name}@example.test`);
      const file = await read(name);
      const count = file.length / one.length;
      t.ok(Number.isInteger(count) && file.subarray(0, one.length).equals(one));
      const known = acknowledged.get(name) ?? 0;
      // A delivery of which the answer was lost may be there: one for each death.
      t.ok(count >= known && count <= known + 3, `${known} answered, ${count} there`);
    }
  });
});

await t.test("through fuse-native", needs("fuse-native", TIMEOUT_MS), async (t) => {
  const harness = await Harness.start(t, { binding: "fuse-native" });
  const { mountpoint } = harness.mount;
  const options = {
    mount: mountpoint,
    hostname: "mx.example.test",
    share: "multi",
    limits,
  } as const;
  const delivery = Delivery.create(options);
  const to = transaction([recipient("a"), recipient("b")]);
  const long = messageOf(1_000_000);
  t.match(await send(delivery, to, short), { kind: "stored", stored: { mailboxes: 2 } });
  t.match(await send(delivery, to, long), { kind: "stored" });
  const wanted = [short, long].map((one) => stored(one, "b@example.test"));
  t.ok((await harness.program().readFile(harness.path("b"))).equals(Buffer.concat(wanted)));
  t.strictSame(await pendingAge(mountpoint), { pending: 0, oldestSeconds: 0 });
  t.equal(await new Quotas(mountpoint).check(mailbox("a", { quotaBytes: 1 }), 0), "full");
  await delivery.close();
});

await t.test("a store without room", needs("kernel", 5 * TIMEOUT_MS), async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const { mount } = harness;
  await mount.stop();
  const options = ["-t", "tmpfs", "-o", "size=64m", "tmpfs", mount.store];
  const mounted = spawnSync("mount", options, { timeout: 10_000 });
  t.equal(mounted.status, 0);
  t.teardown(async () => {
    await mount.kill();
    spawnSync("umount", ["-l", mount.store], { timeout: 10_000 });
  });
  await mount.serve();
  const delivery = Delivery.create({
    mount: mount.mountpoint,
    hostname: "mx.example.test",
    share: "multi",
    limits,
  });
  const to = transaction([recipient("a"), recipient("b")]);
  t.match(await send(delivery, to, short), { kind: "stored" });
  const accepted: Buffer[] = [short];
  const filler = join(mount.store, "filler");
  const length = 64 * 1024 * 1024;
  for (let size = length; size > 4_096; size = Math.floor(size / 2)) {
    try {
      writeFileSync(filler, Buffer.alloc(size), { flag: "a" });
    } catch {
      // Less is tried: to the last page.
    }
  }
  const full = { kind: "refused", reason: "storeFull" };
  const sendUntilRefused = async (message: Buffer): Promise<Outcome> => {
    // The log has some room ahead of it (decision 005).
    for (let k = 0; ; k++) {
      const outcome = await send(delivery, to, message);
      if (outcome.kind === "refused" || k === 1_000) return outcome;
      accepted.push(message);
    }
  };
  t.match(await sendUntilRefused(messageOf(100_000)), full);
  t.match(await sendUntilRefused(messageOf(1_000_000)), full);
  rmSync(filler);
  t.match(await send(delivery, to, short), { kind: "stored" });
  t.match(await send(delivery, to, messageOf(1_000_000)), { kind: "stored" });
  const reader = harness.program();
  const wanted = [...accepted, short, messageOf(1_000_000)].map((one) =>
    stored(one, "b@example.test"),
  );
  t.ok((await reader.readFile(harness.path("b"))).equals(Buffer.concat(wanted)));
  await delivery.close();
});
