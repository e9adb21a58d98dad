/** Dovecot and Postfix with the configuration of docs/ on a real mount at /var/mail: they do what the pages say. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { formatPrivate, formatShared } from "../fs/mbox/format.ts";
import { blockText, settingsOf } from "./doc-blocks.ts";
import type { TestContext } from "./suite/run.ts";
import { environmentOf, missingProgram, outputOf, prepared } from "./system/command.ts";
import { missingDovecot } from "./system/dovecot.ts";
import { freePort } from "./system/free-port.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import type { HintClient, Target } from "./system/hints.ts";
import { ImapClient } from "./system/imap-client.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import { MailUsers } from "./system/mail-users.ts";
import { missingPostfix, Postfix, type Parameters } from "./system/postfix.ts";
import { introduce, quit, send } from "./system/smtp-sending.ts";

t.setTimeout(240_000);
const timeout = 110_000;
const noDovecot = missingDovecot() ?? missingProgram("useradd", "unshare", "setpriv");
const withDovecot =
  noDovecot === undefined ? needs("kernel", timeout) : { timeout, skip: noDovecot };
const noPostfix = missingForServer() ?? missingPostfix();
const withPostfix = noPostfix === undefined ? { timeout } : { timeout, skip: noPostfix };

interface Started {
  readonly imap: number;
  readonly log: () => string;
}

/** Stands for Debian's auth-system.conf.ext: there is no user of the system whose password we know. */
const systemAuth = `
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = passwd
}
`;

/** Dovecot with a page's block, the spool at its /var/mail, and places of its own outside. */
async function startDovecot(t: TestContext, block: string, varMail: string): Promise<Started> {
  const directory = mkdtempSync(join(tmpdir(), "onespool-docs-dovecot-"));
  chmodSync(directory, 0o755);
  mkdirSync(join(directory, "indexes"));
  chmodSync(join(directory, "indexes"), 0o1777);
  mkdirSync(join(directory, "home"));
  chmodSync(join(directory, "home"), 0o1777);
  writeFileSync(join(directory, "users"), "alice@example.org:{PLAIN}secret\n");
  chmodSync(join(directory, "users"), 0o644);
  const imap = await freePort();
  const text = block
    .replaceAll("/var/lib/dovecot/", `${directory}/`)
    .replace("/etc/dovecot/users", join(directory, "users"))
    .replace("protocols = imap pop3", "protocols = imap");
  const own = `
base_dir = ${directory}/run
state_dir = ${directory}/state
log_path = ${directory}/log
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
service imap-login {
  inet_listener imap {
    port = ${imap}
  }
  inet_listener imaps {
    port = 0
  }
}
`;
  const file = join(directory, "dovecot.conf");
  writeFileSync(file, text + own);
  const [program, ...args] = prepared(["dovecot", "-F", "-c", file], { varMail });
  const server = spawn(program!, args, { cwd: "/", env: environmentOf({}), stdio: "ignore" });
  const exited = once(server, "exit");
  t.teardown(async () => {
    server.kill("SIGTERM");
    await Promise.race([exited, sleep(20_000, undefined, { ref: false })]);
    server.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  });
  const log = (): string => {
    try {
      return readFileSync(join(directory, "log"), "utf8");
    } catch {
      return "";
    }
  };
  await eventually("Dovecot starts", async () => log().includes("starting up"));
  return { imap, log };
}

/** Ten messages of 5 KB, each in all of the mailboxes. Their lines differ, as those of mail do. */
async function deliverTen(
  hints: HintClient,
  mailboxes: readonly string[],
  create?: Target["create"],
): Promise<void> {
  for (let id = 0; id < 10; id++) {
    const lines = Array.from({ length: 80 }, (_, i) =>
      createHash("sha256").update(`${id} ${i}`).digest("hex"),
    );
    const text = `From: ann@example.net\nSubject: ${id}\n\nFrom here\n${lines.join("\n")}\n`;
    const to = mailboxes.map((path) => ({
      path,
      private: formatPrivate({ sender: "ann@example.net", time: new Date(), deliveredTo: path }),
      ...(create === undefined ? {} : { create }),
    }));
    const reply = await hints.deliver(formatShared(Buffer.from(text)), to);
    if (!reply.ok) throw new Error(`refused: ${JSON.stringify(reply)}`);
  }
}

/** Ten messages are there: flags on one, two expunged, one copied to a new folder. */
async function useMailbox(t: TestContext, port: number, user: string): Promise<void> {
  const client = await ImapClient.login(port, user);
  const { untagged } = await client.must("SELECT INBOX");
  t.ok(untagged.some(({ line }) => line === "* 10 EXISTS"));
  const [first] = await client.fetch("FETCH 1 BODY.PEEK[TEXT]");
  t.match(first!.literal?.toString("latin1"), /^>From here\r\n/, "as docs/MBOX.md says");
  await client.must("STORE 3 +FLAGS (\\Seen \\Flagged mine)");
  await client.must("CREATE Work");
  await client.must("COPY 3 Work");
  await client.must("STORE 1,5 +FLAGS (\\Deleted)");
  await client.must("EXPUNGE");
  const work = await client.must("SELECT Work");
  t.ok(work.untagged.some(({ line }) => line === "* 1 EXISTS"));
  await client.must("LOGOUT");
}

function complaints(log: string): string[] {
  return log.split("\n").filter((line) => /(Error|Fatal|Panic|Warning):|corrupt/i.test(line));
}

await t.test("Dovecot with users of the system", withDovecot, async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const made = MailUsers.make(2, harness.mount.directory);
  t.teardown(() => made.remove());
  const [user] = made.users;
  const root = harness.program();
  const hints = await harness.hints(root);
  const spool = harness.mount.mountpoint;
  await outputOf(["chgrp", "mail", spool]);
  await outputOf(["chmod", "2775", spool]);
  const { gid } = await root.stat(spool);
  const names = made.users.map(({ name }) => name);
  for (const { name } of made.users) {
    await outputOf([
      "install",
      "-o",
      name,
      "-g",
      "mail",
      "-m",
      "600",
      "/dev/null",
      `${spool}/${name}`,
    ]);
  }
  await deliverTen(hints, names);

  const dovecot = await startDovecot(
    t,
    blockText("DOVECOT.md", "dovecot", "system") + systemAuth,
    spool,
  );
  await useMailbox(t, dovecot.imap, user!.name);
  t.same(complaints(dovecot.log()), []);
  t.match(await root.stat(harness.path(user!.name)), { uid: user!.uid, gid, mode: 0o100600 });
  t.same(await root.list(spool), names.toSorted(), "no lock file is left");
  const { sharedBytes, logicalBytes } = (await hints.request({
    op: "statistics",
    path: user!.name,
  })) as Record<string, number>;
  t.ok(sharedBytes! > 0.8 * logicalBytes!, `${sharedBytes} of ${logicalBytes} bytes are shared`);
});

await t.test("Dovecot with virtual users", withDovecot, async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const made = MailUsers.make(1, harness.mount.directory);
  t.teardown(() => made.remove());
  const [vmail] = made.users;
  const root = harness.program();
  const hints = await harness.hints(root);
  const domain = harness.path("example.org");
  await outputOf(["install", "-d", "-o", vmail!.name, "-g", vmail!.name, "-m", "0770", domain]);
  const create = { mode: 0o600, uid: vmail!.uid, gid: vmail!.gid };
  const mailboxes = ["example.org/alice", "example.org/bob"];
  await deliverTen(hints, mailboxes, create);
  const block = blockText("DOVECOT.md", "dovecot", "virtual").replaceAll(
    "=vmail",
    `=${vmail!.name}`,
  );
  const dovecot = await startDovecot(t, block, harness.mount.mountpoint);
  await useMailbox(t, dovecot.imap, "alice@example.org");
  t.same(complaints(dovecot.log()), []);
  t.match(await root.stat(harness.path("example.org/alice.folders/Work")), { uid: vmail!.uid });
});

await t.test("Postfix in front keeps all recipients in one transaction", withPostfix, async (t) => {
  const users = Array.from({ length: 70 }, (_, i) => `user${i + 1}`);
  const server = await MailServer.start(t, {
    tables: { recipients: { domains: ["example.org"], users } },
  });
  const port = `:${server.ports.lmtp}`;
  const virtual = settingsOf(blockText("POSTFIX.md", "postfix", "virtual").replace(":2524", port));
  const local = settingsOf(blockText("POSTFIX.md", "postfix", "local-lmtp").replace(":2524", port));
  const postfix = await Postfix.start(virtual);
  t.teardown(() => postfix.end());
  const restart = async (parameters: Parameters): Promise<void> => {
    await postfix.stop();
    postfix.configure(parameters);
    await postfix.serve();
  };
  const transactions = async (id: string): Promise<number> => {
    const client = await postfix.connect();
    await introduce(client);
    const to = users.map((user) => `${user}@example.org`);
    await send(client, { from: "ann@example.net", to, text: `Subject: ${id}\n\nbody\n` });
    await quit(client);
    await postfix.delivered();
    const lines = () => server.log().filter((line) => line["subject"] === id);
    const recipients = () => lines().reduce((sum, line) => sum + Number(line["recipients"]), 0);
    await eventually(`the log has ${id}`, async () => recipients() === users.length);
    return lines().length;
  };
  t.equal(await transactions("virtual"), 1);

  await t.test("and refuses the unknown by itself", async (t) => {
    // Those of this machine are permitted; a client of the world is not.
    await restart({ mynetworks: "192.0.2.0/24" });
    // 450 as long as Postfix has no answer from Onespool yet.
    const replyTo = async (user: string): Promise<string> => {
      let reply = "450";
      await eventually(`Postfix knows of ${user}`, async () => {
        const client = await postfix.connect();
        await introduce(client);
        const to = [`${user}@example.org`];
        reply = await send(client, { from: "ann@example.net", to, text: "Subject: k\n\n\n" }).then(
          () => "accepted",
          (error: unknown) => (error as Error).message,
        );
        client.destroy();
        return !/: 450 /.test(reply);
      });
      return reply;
    };
    t.equal(await replyTo(users[0]!), "accepted");
    t.match(await replyTo("nobody-here"), /550 5\.1\.1 .*undeliverable/);
    await postfix.delivered();
  });

  await restart({ mynetworks: "127.0.0.0/8", virtual_mailbox_domains: "", ...local });
  t.equal(await transactions("local"), 1);

  await t.test("and does not with mailbox_transport, as the page warns", async (t) => {
    const { local_transport: transport } = local;
    await restart({ local_transport: "local:$myhostname", mailbox_transport: transport! });
    t.equal(await transactions("mailbox"), users.length);
  });
});
