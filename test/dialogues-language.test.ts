/** The dialogues' own language, against a server of a few lines. */
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import t from "tap";
import { parseDialogue, runDialogue } from "./dialogues.ts";

const answers: Readonly<Record<string, string>> = {
  EHLO: "250-here\r\n250-SIZE 100\r\n250 DSN\r\n",
  NOOP: "250 2.0.0 well\r\n",
  QUIT: "221 2.0.0 bye\r\n",
};

const server = createServer((socket) => {
  socket.write("220 here\r\n");
  socket.on("error", () => undefined);
  let rest = "";
  socket.on("data", (chunk) => {
    const lines = (rest + chunk.toString("latin1")).split("\r\n");
    rest = lines.pop()!;
    for (const line of lines) {
      socket.write(answers[line] ?? `500 ${line}\r\n`, "latin1");
      if (line === "QUIT") socket.end();
    }
  });
}).listen(0, "127.0.0.1");
await once(server, "listening");
t.teardown(() => server.close());
const { port } = server.address() as AddressInfo;

function run(text: string, mailbox = ""): Promise<void> {
  let asked = 0;
  return runDialogue(parseDialogue(text), {
    port: () => port,
    // Mail of before the dialogue does not count.
    mailbox: () => Promise.resolve(`From old x\n\n${asked++ === 0 ? "" : mailbox}`),
  });
}

await t.test("a dialogue that is as it is written passes", async (t) => {
  await run(`# comment
server default
connect smtp
< 220 here
> EHLO
< 250
  has SIZE *
  has DSN
  lacks AUTH*
>> NO
c2 connect lmtp
c2 < 220
>> OP\\r\\n{{a*3}}\\x41\\\\\\r\\n
< 250 2.0.0
< 500 aaaA\\
repeat 2
> {{n}}
< 500 {{n}}
end
> QUIT
< 221
closed
c2 close
c2 closed
c3 admitted smtp
c3 > NOOP
c3 < 250
`);
  await run(
    "mailbox a\n  messages 2\n  has Subject: x\n  lacks From old*",
    "From a\nSubject: x\n\nFrom b\n",
  );
  t.pass();
});

for (const [text, problem] of [
  ["connect smtp\n< 221", "line 2: wanted 221"],
  ["connect smtp\n< 220 her", "line 2: wanted 220 her"],
  ["connect smtp\n< 220\n> EHLO\n< 250\n  has AUTH", "line 4: no line"],
  ["connect smtp\n< 220\n> EHLO\n< 250\n  lacks SIZE*", "line 4: a line"],
  ["connect smtp\n< 220\n> QUIT\nclosed", "line 4: before the end came"],
  ["connect smtp\n< 220\n> QUIT\n< 221\n< 250", "line 5: the server ended the connection"],
  ["c2 > NOOP", "line 1: c2 is not connected"],
  ["mailbox a\n  messages 1", "line 1: wanted 1 messages, found 0"],
] as const) {
  await t.test(`refused: ${JSON.stringify(text)}`, async (t) => {
    await t.rejects(run(text), { message: new RegExp(`^${problem}`) });
  });
}

await t.test("what is no line of a dialogue is told", (t) => {
  for (const text of ["hello", "connect pop", "  has x", "repeat 3\n> x", "<250", ">> \\q"]) {
    t.throws(() => parseDialogue(text), /./, text);
  }
  t.end();
});
