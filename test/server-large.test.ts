/** The large ones: 2,000 recipients in one transaction, and a message at the limit of 25 MiB and beyond it. */
import { createHash } from "node:crypto";
import t from "tap";
import { run, command } from "./cli-process.ts";
import { content, introduced, replies, subjects, transaction } from "./system/deliveries.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";

t.setTimeout(120_000);
const skip = missingForServer();
const options = skip === undefined ? {} : { skip };

const LIMIT = 25 * 1024 * 1024;

await t.test("2,000 recipients have one copy", options, async (t) => {
  const names = Array.from({ length: 2_000 }, (_, i) => `member${i + 1}`);
  const server = await MailServer.start(t, {
    tables: { recipients: { users: names, postmaster: "member1" } },
  });
  const client = await introduced(server);
  const body = Array.from({ length: 2_000 }, (_, i) => `line ${i} of a message of some size`);
  const mail = { subject: "to all", to: names, body };
  client.write(
    transaction(mail).replace("DATA\r\n", "RCPT TO:<member1+more@example.test>\r\nDATA\r\n"),
  );
  const found = (await replies(client, { ...mail, to: [...names, "too many"] })).map(
    (reply) => reply?.code,
  );
  t.strictSame(found.slice(-3), [452, 354, 250], "one more is put off");
  t.equal(found.filter((code) => code === 250).length, names.length + 2);

  let logical = 0;
  const wrong: string[] = [];
  for (const name of names) {
    const text = await server.mailbox(name);
    logical += text.length;
    const whole =
      text.includes(`Delivered-To: ${name}@example.test\n`) && text.includes("line 1999 of");
    if (!whole || subjects(text).get("to all") !== 1) wrong.push(name);
  }
  t.strictSame(wrong, []);
  const { stdout } = await run(process.execPath, command, "stat", server.mount, "--json");
  const { storedBytes, logicalBytes } = JSON.parse(stdout) as Record<string, number>;
  t.equal(logicalBytes, logical);
  t.ok(storedBytes! < 1_000_000, `${storedBytes} bytes are stored of ${logicalBytes}`);
});

await t.test("a message of 25 MiB, and one byte more", options, async (t) => {
  const server = await MailServer.start(t);
  const client = await introduced(server);
  const envelope = (name: string): string =>
    `MAIL FROM:<ann@example.org>\r\nRCPT TO:<${name}@example.test>\r\nDATA\r\n`;
  for (const [name, size, code] of [
    ["user1", LIMIT, 250],
    ["user2", LIMIT + 1, 552],
    ["user3", 1_000, 250],
  ] as const) {
    const data = messageOf(size);
    client.write(envelope(name));
    for (const wanted of [250, 250, 354]) await client.expect(wanted);
    client.write(data);
    client.write(".\r\n");
    const reply = await client.expect(code);
    t.match(reply.lines[0], code === 250 ? /^2\.6\.0 / : /^5\.3\.4 /);
  }
  const text = await server.mailboxBytes("user1");
  const received = Buffer.from(
    messageOf(LIMIT).toString("latin1").replaceAll("\r\n", "\n"),
    "latin1",
  );
  const headerEnd = received.indexOf("\n\n");
  const body = received.subarray(headerEnd + 2);
  const at = text.indexOf("\n\n") + 2;
  const sha = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  t.equal(sha(text.subarray(at, at + body.length)), sha(body), "its body is there, byte for byte");
  t.equal(text.subarray(at + body.length).toString(), "\n");
  t.equal(await server.mailbox("user2"), "");
  t.equal(subjects(await server.mailbox("user3")).get("size 1000"), 1);
});

await t.test(
  "SIZE in LMTP: each recipient of a message that is too large is told",
  options,
  async (t) => {
    const server = await MailServer.start(t, { tables: { limits: { message_size_max: 50_000 } } });
    const client = await introduced(server, "lmtp");
    const mail = {
      subject: "large",
      to: ["user1", "user2"],
      body: Array<string>(1_000).fill("x".repeat(60)),
    };
    client.write(transaction(mail));
    for (const code of [250, 250, 250, 354, 552, 552]) await client.expect(code);
    client.write(transaction({ subject: "small", to: ["user1"] }));
    for (const code of [250, 250, 354, 250]) await client.expect(code);
    t.strictSame([...subjects(await server.mailbox("user1"))], [["small", 1]]);
    t.ok(content(mail).length > 50_000);
  },
);

/** So many bytes as they are sent, line ends included; no line begins with a dot. */
function messageOf(size: number): Buffer {
  const head = `Subject: size ${size}\r\nMessage-ID: <${size}@example.org>\r\nDate: Sun, 22 Nov 2026 05:00:00 +0000\r\n\r\n`;
  const line = `${"abcdefghij".repeat(99)}\r\n`;
  const bytes = Buffer.alloc(size);
  bytes.write(head, "latin1");
  bytes.fill(line, head.length);
  // The last line ends in CRLF, wherever the cut fell.
  bytes.fill("z", size - 12);
  bytes.write("\r\n", size - 2);
  return bytes;
}
