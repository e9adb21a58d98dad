/**
 * A mailbox that another program has locked: its mail is acknowledged at once, and shows when the lock is gone. The
 * other recipients have theirs before.
 */
import { constants } from "node:fs";
import t from "tap";
import { Program } from "./suite/program.ts";
import { deliverOnce, subjects } from "./system/deliveries.ts";
import { eventually } from "./system/harness.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";

t.setTimeout(120_000);
const skip = missingForServer();
const LOCK_EX = 2;
const F_SETLK = 6;
const F_WRLCK = 1;

await t.test("a locked mailbox", skip === undefined ? {} : { skip }, async (t) => {
  const server = await MailServer.start(t);
  const reader = new Program();
  t.teardown(() => reader.end());
  await deliverOnce(server, { subject: "before", to: ["user1", "user2"] });
  const path = `${server.mount}/user1`;
  const shown = async (box: string): Promise<string[]> => [
    ...subjects(await server.mailbox(box)).keys(),
  ];

  const locks: Record<string, () => Promise<() => Promise<void>>> = {
    flock: async () => {
      const fd = await reader.open(path, constants.O_RDWR);
      await reader.call("flock", fd, LOCK_EX);
      return () => reader.close(fd);
    },
    fcntl: async () => {
      const fd = await reader.open(path, constants.O_RDWR);
      await reader.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
      return () => reader.close(fd);
    },
    dotlock: async () => {
      await reader.writeFile(`${path}.lock`, "");
      return () => reader.unlink(`${path}.lock`);
    },
  };
  for (const [name, lock] of Object.entries(locks)) {
    await t.test(`by ${name}`, async (t) => {
      const unlock = await lock();
      await deliverOnce(server, { subject: name, to: ["user1", "user2"] });
      t.notOk((await shown("user1")).includes(name), "not while it is locked");
      t.ok((await shown("user2")).includes(name), "the other mailbox has it");
      await unlock();
      await eventually("the mail shows", async () => (await shown("user1")).includes(name));
      t.pass();
    });
  }
  t.strictSame(await shown("user1"), ["before", "flock", "fcntl", "dotlock"]);
});
