/**
 * Delivers real messages to all of the mailboxes at once, as the mail server does: the bytes of a message are stored
 * once for all of them. A process of its own, because it opens a file of the mount.
 *
 * node fill.js MOUNT MESSAGES UID MAILBOX...
 */
import { HintClient } from "../../fs/hints/client.ts";
import { formatPrivate, formatShared } from "../../fs/mbox/format.ts";
import { readCorpus } from "../../test/system/corpus.ts";

const FIRST_MS = Date.UTC(2024, 0, 1);
const MINUTE_MS = 60_000;

const [mount = "", messages = "", owner = "", ...mailboxes] = process.argv.slice(2);
const count = Number(messages);
const create = { mode: 0o600, uid: Number(owner), gid: Number(owner) };
const corpus = readCorpus(count).messages.map(({ bytes }) => formatShared(bytes));
const client = await HintClient.open(mount);
for (let index = 0; index < count; index++) {
  const time = new Date(FIRST_MS + index * MINUTE_MS);
  const to = mailboxes.map((path) => {
    const deliveredTo = `${path}@example.test`;
    return {
      path,
      create,
      private: formatPrivate({ sender: "a@example.test", time, deliveredTo }),
    };
  });
  await client.deliver([{ bytes: corpus[index % corpus.length]! }], to);
}
await client.close();
process.stdout.write(`${JSON.stringify({ distinct: corpus.length })}\n`);
