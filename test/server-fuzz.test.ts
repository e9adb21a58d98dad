/** Sessions of random commands and bytes: every answer is a reply, no process dies, no fault is logged. */
import fc from "fast-check";
import t from "tap";
import { deliverOnce, subjects } from "./system/deliveries.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import type { SmtpClient } from "./system/smtp-client.ts";

t.setTimeout(120_000);

const pieces = [
  "EHLO client.test\r\n",
  "HELO x\r\n",
  "LHLO x\r\n",
  "MAIL FROM:<ann@example.org>\r\n",
  "MAIL FROM:<> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=FULL\r\n",
  "RCPT TO:<user1@example.test>\r\n",
  "RCPT TO:<user2@example.test> NOTIFY=NEVER\r\n",
  "RCPT TO:<nobody@example.test>\r\n",
  "STARTTLS\r\n",
  "DATA\r\n",
  "Subject: x\r\n\r\n",
  ".\r\n",
  "\r\n.\r\n",
  "..\r\n",
  "text\n",
  "text\r",
  "RSET\r\n",
  "NOOP\r\n",
  "VRFY user1\r\n",
  "XCLIENT ADDR=1.2.3.4\r\n",
  "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
  "AUTH PLAIN\r\n",
  "QUIT\r\n",
  "\r\n",
  "\n",
  "\0",
  "\x16\x03\x01\x00\x05",
  "y".repeat(3_000),
];

async function talk(client: SmtpClient, bytes: Buffer, cuts: readonly number[]): Promise<void> {
  let at = 0;
  for (const cut of [...cuts, bytes.length].sort((a, b) => a - b)) {
    client.write(bytes.subarray(at, Math.min(cut, bytes.length)));
    await client.flush();
    at = Math.min(cut, bytes.length);
  }
  client.end();
  try {
    // Each line must be one of a reply; a session that was ended with bytes unread may end in a reset.
    while ((await client.replyOrEnd()) !== undefined) continue;
  } finally {
    client.destroy();
  }
}

const skip = missingForServer(true);
await t.test("random sessions", skip === undefined ? {} : { skip }, async (t) => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${seed}: SEED=${seed} node dist/test/server-fuzz.test.js repeats it`);
  const limits = { errors_soft: 1_000, errors_hard: 1_000 };
  const server = await MailServer.start(t, { hasTls: true, tables: { limits } });
  const before = server.processes();
  const session = fc.record({
    protocol: fc.constantFrom("smtp" as const, "lmtp" as const),
    bytes: fc.oneof(
      { weight: 4, arbitrary: fc.array(fc.constantFrom(...pieces), { maxLength: 25 }) },
      {
        weight: 4,
        arbitrary: fc
          .array(fc.constantFrom(...pieces), { maxLength: 20 })
          .map((list) => [pieces[0]!, pieces[3]!, pieces[5]!, ...list]),
      },
      {
        weight: 1,
        arbitrary: fc
          .uint8Array({ maxLength: 300 })
          .map((bytes) => [Buffer.from(bytes).toString("latin1")]),
      },
    ),
    cuts: fc.array(fc.nat(600), { maxLength: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(session, { minLength: 1, maxLength: 8 }), async (sessions) => {
      await Promise.all(
        sessions.map(async ({ protocol, bytes, cuts }) => {
          const client = await server.connect(protocol);
          await client.expect(220);
          await talk(client, Buffer.from(bytes.join(""), "latin1"), cuts);
        }),
      );
    }),
    { seed, numRuns: 1_500, endOnFailure: true },
  );
  t.strictSame(server.processes(), before, "nobody died");
  await deliverOnce(server, { subject: "after", to: ["user3"] });
  t.equal(subjects(await server.mailbox("user3")).get("after"), 1);
  t.strictSame(
    server.log().filter(({ level }) => level === "error" || level === "fatal"),
    [],
  );
});
