/** A disk that another program fills to the last byte, under a mount and under the mail server. */
import { spawnSync } from "node:child_process";
import { constants, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { equal, ok } from "node:assert/strict";
import t from "tap";
import { F_RDLCK, F_SETLK, F_UNLCK } from "./suite/linux.ts";
import { refuses } from "./suite/expect.ts";
import type { Program } from "./suite/program.ts";
import { introduced, replies, transaction } from "./system/deliveries.ts";
import { eventually, Harness } from "./system/harness.ts";
import type { HintClient } from "./system/hints.ts";
import { MailServer } from "./system/mail-server.ts";
import type { SmtpClient } from "./system/smtp-client.ts";
import { makeSmallDisk, missingSmallDisk, type SmallDisk } from "./system/small-disk.ts";

const timeout = 120_000;
t.setTimeout(timeout);
const command = fileURLToPath(new URL("../cli/onespool.js", import.meta.url));
const skip = missingSmallDisk() ?? false;

const RESERVE = 4 * 1024 * 1024;

function disk(t: { teardown(done: () => void): unknown }): SmallDisk {
  const small = makeSmallDisk(128);
  t.teardown(() => small.end());
  return small;
}

/** Bytes that the store keeps back. */
function reserve(store: string): number {
  return statSync(join(store, "reserve"), { throwIfNoEntry: false })?.size ?? 0;
}

function fsck(store: string): string {
  const args = [command, "fsck", store];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    timeout: 60_000,
  });
  return status === 0 ? "clean" : `${status}: ${stdout}${stderr}`;
}

await t.test("a mount whose disk is full", { skip, timeout }, async (t) => {
  const small = disk(t);
  const temporary = process.env["TMPDIR"];
  process.env["TMPDIR"] = small.path;
  const harness = await Harness.start(t, { binding: "kernel" });
  if (temporary === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = temporary;
  const program = harness.program();
  const hints = await harness.hints(program);
  const { store } = harness.mount;
  /** What was acknowledged, by mailbox. */
  const expected = new Map<string, string>();
  let number = 0;

  const deliver = async (client: HintClient, ...names: string[]): Promise<string> => {
    const text = `From a\n\nmail ${number++} ${"x".repeat(30_000)}\n`;
    const to = names.map((path) => ({ path, create: { mode: 0o600 } }));
    const reply = await client.deliver(Buffer.from(text), to);
    if (!reply.ok) return String(reply.error);
    for (const name of names) expected.set(name, (expected.get(name) ?? "") + text);
    return "ok";
  };
  const untilRefused = async (client: HintClient): Promise<string> => {
    for (let k = 0; k < 200; k++) {
      const answer = await deliver(client, "ann", "bob");
      if (answer !== "ok") return answer;
    }
    return "never";
  };
  const check = async (reader: Program): Promise<void> => {
    for (const [name, text] of expected) {
      equal(await reader.text(harness.path(name)), text, `${name} has what was acknowledged`);
    }
  };

  for (let k = 0; k < 5; k++) equal(await deliver(hints, "ann", "bob", "carl"), "ok");
  await program.mkdir(harness.path("folder"));
  for (let k = 0; k < 300; k++) {
    await program.writeFile(harness.path(`folder/f${k}`), "some content\n");
  }
  await program.writeFile(harness.path("large"), Buffer.alloc(3_000_000, 7));
  await program.writeFile(harness.path("flags"), `Status: O\n${"y".repeat(50_000)}`);
  // A reader has a lock: mail for the mailbox waits.
  const locker = harness.program();
  const locked = await locker.open(harness.path("carl"), constants.O_RDWR);
  await locker.call("lock", locked, F_SETLK, F_RDLCK, 0, 0);
  equal(await deliver(hints, "carl"), "ok");
  await eventually("the reserve is made", async () => reserve(store) >= RESERVE);

  let whole = 0;

  await t.test("deliveries are refused, and what was acknowledged is there", async (t) => {
    small.fill();
    equal(await untilRefused(hints), "ENOSPC");
    small.fill();
    equal(await untilRefused(hints), "ENOSPC");
    equal(small.available, 0);
    whole = reserve(store);
    await refuses(program.writeFile(harness.path("new"), Buffer.alloc(50_000)), "ENOSPC");
    const waiting = expected.get("carl")!;
    expected.set("carl", waiting.slice(0, waiting.lastIndexOf("From a")));
    await check(program);
    expected.set("carl", waiting);
    t.pass();
  });

  await t.test("a lock that is released shows what waited for it", async (t) => {
    await locker.call("lock", locked, F_SETLK, F_UNLCK, 0, 0);
    await check(program);
    t.pass();
  });

  await t.test("unlink, rmdir, truncate, rename and a change of flags work", async (t) => {
    for (let k = 0; k < 300; k++) await program.unlink(harness.path(`folder/f${k}`));
    await program.call("os.rmdir", harness.path("folder"));
    await program.unlink(harness.path("large"));
    await program.call("os.truncate", harness.path("bob"), 20_000);
    expected.set("bob", expected.get("bob")!.slice(0, 20_000));
    await program.rename(harness.path("carl"), harness.path("carla"));
    expected.set("carla", expected.get("carl")!);
    expected.delete("carl");
    const flags = await program.open(harness.path("flags"), constants.O_RDWR);
    await program.pwrite(flags, Buffer.from("Status: R"), 0);
    await program.call("os.fsync", flags);
    await program.close(flags);
    equal((await program.text(harness.path("flags"))).slice(0, 11), "Status: R\ny");
    await check(program);
    ok(reserve(store) < whole, "it took some of the reserve");
    equal(await deliver(hints, "ann"), "ENOSPC", "deliveries are still refused");
    t.pass();
  });

  await t.test("the store is opened again on a full disk", async (t) => {
    await hints.program.end();
    await locker.end();
    await harness.mount.kill();
    small.fill();
    await harness.mount.serve();
    const reader = harness.program();
    await check(reader);
    await reader.unlink(harness.path("flags"));
    await harness.mount.stop();
    small.fill();
    await harness.mount.serve();
    await check(reader);
    t.pass();
  });

  await t.test("service comes back by itself, and the reserve with it", async (t) => {
    const client = await harness.hints(harness.program());
    equal(await untilRefused(client), "ENOSPC");
    small.empty();
    await eventually("deliveries work", async () => (await deliver(client, "ann")) === "ok");
    await eventually("the reserve is whole", async () => reserve(store) >= whole);
    for (let k = 0; k < 20; k++) equal(await deliver(client, "ann", "dora"), "ok");
    await check(harness.program());
    await harness.mount.stop();
    equal(fsck(store), "clean");
    t.pass();
  });
});

await t.test("a mail server whose disk is full", { skip, timeout }, async (t) => {
  const small = disk(t);
  const store = join(small.path, "store");
  const server = await MailServer.start(t, { tables: { spool: { store } } });
  const stored: string[] = [];
  let number = 0;
  const body = Array.from({ length: 60 }, () => "z".repeat(900));
  const send = async (client: SmtpClient): Promise<string> => {
    const mail = { subject: `mail ${number++}`, to: ["user1", "user2"], body };
    client.write(transaction(mail));
    const answer = (await replies(client, mail)).at(-1);
    if (answer?.code === 250) stored.push(mail.subject);
    return answer === undefined ? "ended" : `${answer.code} ${answer.lines[0]?.slice(0, 5) ?? ""}`;
  };
  const client = await introduced(server);
  equal((await send(client)).slice(0, 3), "250");
  await eventually("the reserve is made", async () => reserve(store) >= RESERVE);
  small.fill();
  let refusals = 0;
  for (let k = 0; k < 100 && refusals < 30; k++) {
    const answer = await send(client);
    if (answer.startsWith("250")) continue;
    equal(answer, "452 4.3.1");
    refusals++;
  }
  equal(refusals, 30, "SMTP answers 452 4.3.1");
  const lmtp = await introduced(server, "lmtp");
  const mail = { subject: "over lmtp", to: ["user1"], body };
  lmtp.write(transaction(mail));
  const found = await replies(lmtp, mail);
  equal(found.at(-1)?.code, 452, "and LMTP");
  small.empty();
  await eventually("mail is taken again", async () => (await send(client)).startsWith("250"));
  const text = await server.mailbox("user1");
  for (const subject of stored) ok(text.includes(`Subject: ${subject}\n`), subject);
  equal(text.match(/^Subject: /gm)?.length, stored.length, "and nothing that was refused");
  const again = "the store takes mail again";
  await eventually("the log says so", async () => server.log().some(({ msg }) => msg === again));
  const said = server.log().map(({ msg }) => String(msg));
  for (const text of ["the store has no room", again]) {
    const count = said.filter((line) => line.startsWith(text)).length;
    ok(count > 0 && count <= server.processes().workers.length, `the log says once: ${text}`);
  }
  ok(server.said.includes("the disk under the store is full"), "and the spool too");
  await server.stop();
  equal(fsck(store), "clean");
});
