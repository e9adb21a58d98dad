/** The dialogues of test/dialogues against the whole server; DIALOGUE=name runs one of them. */
import { readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { parseDialogue, runDialogue } from "./dialogues.ts";
import { servers } from "./dialogues/servers.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import { sourcePath } from "./system/source.ts";

t.setTimeout(300_000);

const directory = sourcePath("test/dialogues/README.md").replace(/\/README\.md$/, "");
const dialogues = readdirSync(directory)
  .filter((name) => name.endsWith(".dialogue"))
  .filter((name) => [undefined, name.replace(".dialogue", "")].includes(process.env["DIALOGUE"]))
  .sort()
  .map((name) => ({ name, ...parseDialogue(readFileSync(`${directory}/${name}`, "utf8")) }));

for (const [server, settings] of Object.entries(servers)) {
  const own = dialogues.filter((dialogue) => dialogue.server === server);
  if (own.length === 0) continue;
  const skip = missingForServer(settings.hasTls);
  await t.test(`server ${server}`, skip === undefined ? {} : { skip }, async (t) => {
    const running = await MailServer.start(t, settings);
    for (const dialogue of own) {
      await t.test(dialogue.name, async (t) => {
        await runDialogue(dialogue, {
          port: (protocol) => running.port(protocol),
          mailbox: async (name) => (await running.mailboxBytes(name)).toString(),
        });
        t.ok(running.running);
      });
    }
  });
}

await t.test("every dialogue has its configuration", (t) => {
  t.strictSame(
    dialogues.filter(({ server }) => servers[server] === undefined),
    [],
  );
  t.end();
});
