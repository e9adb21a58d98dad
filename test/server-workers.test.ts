/** Workers come and go: replaced, more, fewer, killed, and never a mail or a number is lost. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { commandLine, isRunning } from "./supervised.ts";
import { deliver, deliverOnce, introduced, subjects, type Mail } from "./system/deliveries.ts";
import { eventually } from "./system/harness.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";

t.setTimeout(240_000);
const missing = missingForServer();
const needsServer = missing === undefined ? {} : { skip: missing };
const missingTls = missingForServer(true);
const needsTls = missingTls === undefined ? {} : { skip: missingTls };

/** So many workers should be replaced under load, and it takes no more mails than these. */
const REPLACED = 4;
const MAILS_MAX = 3_000;

const metrics = { "": { metrics: "127.0.0.1:0" } };

async function counter(server: MailServer, name: string): Promise<number> {
  const [, address] = /metrics: (http:\S+)/.exec(server.said) ?? [];
  const page = await (await fetch(address!)).text();
  const line = page.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.split(" ")[1] ?? 0);
}

const stored = 'onespool_messages_total{result="stored"}';
const taken = 'onespool_hand_overs_total{result="taken"}';
const failed = 'onespool_hand_overs_total{result="failed"}';

function count(server: MailServer, msg: string): number {
  return server.log().filter((line) => line["msg"] === msg).length;
}

async function overTls(server: MailServer, mail: Mail): Promise<void> {
  const client = await server.connect();
  await client.expect(220);
  await client.command("EHLO client.test");
  client.write("STARTTLS\r\n");
  await client.expect(220);
  await client.startTls(server.certificate);
  await client.command("EHLO client.test");
  await deliver(client, mail);
  client.write("QUIT\r\n");
  await client.expect(221);
  client.destroy();
}

await t.test(
  "workers are replaced after their messages, and no mail is cut",
  needsTls,
  async (t) => {
    const server = await MailServer.start(t, {
      hasTls: true,
      tables: { ...metrics, workers: { count: 1, messages_max: 5 } },
    });
    const [first] = server.processes().workers;
    const mails: Mail[] = [];
    const client = async (): Promise<void> => {
      while (mails.length < MAILS_MAX && count(server, "worker retires") < REPLACED) {
        const mail: Mail = { subject: `n${mails.length}`, to: ["user1"] };
        const isTls = mails.push(mail) % 2 === 0;
        await (isTls ? overTls(server, mail) : deliverOnce(server, mail));
      }
    };
    await Promise.all(Array.from({ length: 6 }, client));
    const found = subjects(await server.mailbox("user1"));
    t.strictSame(
      mails.filter(({ subject }) => found.get(subject) !== 1),
      [],
      "each is there once",
    );
    await eventually("one worker is left", async () => server.processes().workers.length === 1);
    t.not(server.processes().workers[0], first);
    t.ok(count(server, "worker retires") >= REPLACED, `${mails.length} mails`);
    t.equal(count(server, "worker ended unasked"), 0);
    await eventually(
      "all are counted",
      async () => (await counter(server, stored)) >= mails.length,
    );
    t.equal(await counter(server, stored), mails.length);
    t.equal(await counter(server, taken), mails.length);
    t.equal(await counter(server, failed), 0);
    const messages = () => count(server, "message");
    const ends = () =>
      server.log().filter(({ msg, role }) => msg === "connection" && role === "worker").length;
    await eventually(
      "all are in the log",
      async () => messages() >= mails.length && ends() >= mails.length,
    );
    t.equal(messages(), mails.length);
    t.equal(ends(), mails.length);
  },
);

await t.test(
  "a session stays with a worker that retires, until it ends",
  needsServer,
  async (t) => {
    const server = await MailServer.start(t, {
      tables: { workers: { count: 1, messages_max: 1 } },
    });
    const [first = 0] = server.processes().workers;
    const idle = await introduced(server);
    const old = await introduced(server);
    // With the first recipient a session comes to the worker: both are there before it has had its message.
    for (const client of [idle, old]) {
      client.write("MAIL FROM:<>\r\nRCPT TO:<user1@example.test>\r\nRSET\r\n");
      for (const code of [250, 250, 250]) await client.expect(code);
    }
    await deliver(idle, { subject: "idle one", to: ["user1"] });
    await deliver(old, { subject: "old one", to: ["user1"] });
    old.write("MAIL FROM:<>\r\nRCPT TO:<user1@example.test>\r\nDATA\r\n");
    for (const code of [250, 250, 354]) await old.expect(code);
    await eventually("it has retired", async () => count(server, "worker retires") === 1);
    await deliverOnce(server, { subject: "new one", to: ["user1"] });
    t.ok(isRunning(first), "the first one still receives");
    old.write("Subject: old two\r\n\r\n.\r\n");
    await old.expect(250);
    old.destroy();
    await deliver(idle, { subject: "idle two", to: ["user1"] });
    idle.write("QUIT\r\n");
    await idle.expect(221);
    idle.destroy();
    await eventually("it has ended", async () => !isRunning(first));
    const found = subjects(await server.mailbox("user1"));
    t.strictSame(
      ["idle one", "old one", "new one", "old two", "idle two"].map((each) => found.get(each)),
      [1, 1, 1, 1, 1],
    );
  },
);

await t.test("a successor that dies has a successor", needsServer, async (t) => {
  const server = await MailServer.start(t, { tables: { workers: { count: 1, messages_max: 1 } } });
  const [first = 0] = server.processes().workers;
  const old = await introduced(server);
  await deliver(old, { subject: "spent", to: ["user1"] });
  let killed = 0;
  await eventually("its successor was killed", async () => {
    const next = server.processes().workers.find((pid) => pid !== first);
    if (next === undefined) return false;
    killed = next;
    process.kill(next, "SIGKILL");
    return true;
  });
  await eventually("there is another one", async () =>
    server.processes().workers.some((pid) => ![first, killed].includes(pid)),
  );
  await eventually("it takes sessions", async () => {
    const ready = server.log().filter(({ msg }) => msg === "worker ready");
    return ready.some(({ worker }) => ![first, killed].includes(Number(worker)));
  });
  await deliverOnce(server, { subject: "after", to: ["user1"] });
  t.equal(subjects(await server.mailbox("user1")).get("after"), 1);
  old.destroy();
});

await t.test("a reload changes number and memory of the workers", needsServer, async (t) => {
  const tables = { workers: { count: 1, memory_max: "96MiB" } };
  const server = await MailServer.start(t, { tables });
  const limits = (): string[] =>
    server
      .processes()
      .workers.flatMap((pid) => /--max-old-space-size=(\d+)/.exec(commandLine(pid))?.[1] ?? []);
  t.strictSame(limits(), ["96"]);
  const before = server.processes();
  const open = await introduced(server);
  server.configure({ workers: { count: 3, memory_max: "128MiB" } });
  server.reload();
  await eventually("there are three others", async () => limits().join() === "128,128,128");
  server.configure({ workers: { count: 2, memory_max: "128MiB" } });
  server.reload();
  await eventually("there are two", async () => limits().join() === "128,128");
  t.equal(server.processes().front, before.front);
  await deliver(open, { subject: "goes on", to: ["user1"] });
  t.equal(subjects(await server.mailbox("user1")).get("goes on"), 1);
  t.equal(count(server, "worker ended unasked"), 0);
});

await t.test(
  "many reloads at once, also over a start, come to the last",
  needsServer,
  async (t) => {
    const server = await MailServer.start(t, { tables: { workers: { count: 2 } } });
    const { front } = server.processes();
    process.kill(front, "SIGKILL");
    const users = Array.from({ length: 20 }, (_, i) => `user${i + 1}`);
    for (let k = 1; k <= 20; k++) {
      server.configure({ recipients: { users: [...users, `new${k}`] } });
      server.reload();
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    await server.greets();
    await eventually("the last one holds", async () => {
      const client = await introduced(server);
      client.write("MAIL FROM:<>\r\nRCPT TO:<new20@example.test>\r\nQUIT\r\n");
      await client.expect(250);
      const { code } = await client.reply();
      await client.expect(221);
      return code === 250;
    });
    const { workers, front: next } = server.processes();
    t.not(next, front);
    t.equal(workers.length, 2);
    const ready = () =>
      server.log().filter(({ msg, worker }) => {
        return msg === "worker ready" && workers.includes(Number(worker));
      }).length;
    await eventually("the log tells of both", async () => ready() >= 2);
    t.equal(ready(), 2, "each was started once");
    t.equal(count(server, "failed"), 0);
  },
);

await t.test("a worker that dies has a successor, and its mails go on", needsServer, async (t) => {
  const server = await MailServer.start(t, { tables: { workers: { count: 1 } } });
  const [first = 0] = server.processes().workers;
  await deliverOnce(server, { subject: "before", to: ["user1"] });
  process.kill(first, "SIGKILL");
  await eventually("mail is taken again", async () => {
    try {
      await deliverOnce(server, { subject: "after", to: ["user1"] });
      return true;
    } catch {
      return false;
    }
  });
  t.equal(subjects(await server.mailbox("user1")).get("after"), 1);
  await eventually("the log tells", async () => count(server, "worker ended unasked") > 0);
  t.equal(count(server, "worker ended unasked"), 1);
});

await t.test(
  "workers that cannot start end the start, and are not tried for ever",
  needsServer,
  async (t) => {
    const directory = process.env["TMPDIR"];
    const server = await MailServer.start(t);
    await server.stop();
    const nowhere = join(server.directory, "nowhere");
    process.env["TMPDIR"] = nowhere;
    try {
      await t.rejects(server.serve(), { message: /workers end before they are ready/ });
      t.equal(await server.ended(), 1);
    } finally {
      if (directory === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = directory;
    }
  },
);

await t.test(
  "front and workers do not know what the environment has besides",
  needsServer,
  async (t) => {
    process.env["ONESPOOL_TEST_SECRET"] = "secret";
    t.teardown(() => delete process.env["ONESPOOL_TEST_SECRET"]);
    const server = await MailServer.start(t);
    const { front, workers } = server.processes();
    for (const pid of [front, ...workers]) {
      const text = readFileSync(`/proc/${pid}/environ`, "latin1");
      t.notMatch(text, "SECRET");
      t.match(text, /(?:^|\0)PATH=/);
    }
  },
);

await t.test(
  "a worker that does not answer in time is given up: 421, and what it held comes to nothing",
  needsServer,
  async (t) => {
    const tables = { workers: { count: 1 }, limits: { hand_over_timeout: "1s" } };
    const server = await MailServer.start(t, { tables });
    const [worker] = server.processes().workers;
    process.kill(worker!, "SIGSTOP");
    const client = await server.connect();
    await client.expect(220);
    await client.command("EHLO client.test");
    client.write("MAIL FROM:<a@b.test>\r\nRCPT TO:<user1@example.test>\r\nDATA\r\n");
    t.equal((await client.reply()).code, 421);
    process.kill(worker!, "SIGCONT");
    await client.closed();
    client.destroy();
    // On a busy machine it may be late once more.
    await eventually("it takes sessions again", async () => {
      const later = await introduced(server);
      await later.command("MAIL FROM:<a@b.test>");
      const { code } = await later.command("RCPT TO:<user1@example.test>");
      later.destroy();
      return code === 250;
    });
    t.equal(server.processes().workers[0], worker);
  },
);
