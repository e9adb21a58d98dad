/**
 * Who may do what to whose mailbox, with real users: through POSIX calls and through hints, which the file
 * system has to judge by itself and in the same way.
 */
import { constants } from "node:fs";
import { deepEqual, equal, ok } from "node:assert/strict";
import t from "tap";
import { refuses } from "./suite/expect.ts";
import type { Program, User } from "./suite/program.ts";
import { Harness, needs } from "./system/harness.ts";
import type { HintClient, Reply } from "./system/hints.ts";
import { makeUsers, type RealUsers } from "./system/users.ts";

const timeout = 240_000;
t.setTimeout(2 * timeout);

interface Actor {
  readonly name: string;
  readonly user: User;
  readonly program: Program;
  readonly hints: HintClient;
}

const rootUser: User = { uid: 0, gid: 0, groups: [0] };

/** What the mode bits give, as access(2) has it: 4 read, 2 write, 1 search. */
function may(user: User, want: number, owner: number, group: number, mode: number): boolean {
  if (user.uid === 0) return true;
  const inGroup = user.gid === group || (user.groups ?? []).includes(group);
  const shift = user.uid === owner ? 6 : inGroup ? 3 : 0;
  return ((mode >> shift) & want) === want;
}

async function makeActors(harness: Harness, users: RealUsers): Promise<Actor[]> {
  const named: [string, User][] = [
    ["root", rootUser],
    ["the owner", users.alice],
    ["a member of the group", users.bob],
    ["a stranger", users.stranger],
  ];
  return Promise.all(
    named.map(async ([name, user]) => {
      const program = harness.program(user);
      return { name, user, program, hints: await harness.hints(program) };
    }),
  );
}

/** "ok" or the errno's name. */
async function outcome(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "ok",
    (error: unknown) => (error as { code: string }).code,
  );
}

function replied({ ok, error = "" }: Reply): string {
  return ok ? "ok" : error;
}

/** fuse-native does not tell who calls: everybody is the server's user. */
await t.test("kernel binding", needs("kernel", timeout), async (t) => {
  const users = makeUsers();
  t.teardown(() => users.remove());
  const harness = await Harness.start(t, {
    binding: "kernel",
    options: `deliver=${users.bob.uid},deliver_dirs=/mail`,
  });
  const root = harness.program();
  await root.call("os.chmod", harness.mount.mountpoint, 0o777);
  const path = (name: string) => harness.path(name);

  await t.test("mailboxes of every mode: POSIX and hints agree with the mode bits", async (t) => {
    const actors = await makeActors(harness, users);
    let number = 0;
    for (const mode of [0o600, 0o640, 0o660, 0o604, 0o606, 0o620, 0o060, 0o006, 0o400, 0o000]) {
      const name = `box-${number++}`;
      await root.writeFile(path(name), "first\n");
      await root.call("os.chown", path(name), users.alice.uid, users.sharedGroup);
      await root.call("os.chmod", path(name), mode);
      for (const { name: who, user, program, hints } of actors) {
        const expected = (want: number) =>
          may(user, want, users.alice.uid, users.sharedGroup, mode) ? "ok" : "EACCES";
        const what = `${who}, mode ${mode.toString(8)}`;
        const [reads, writes] = [expected(4), expected(2)];
        await root.writeFile(path(name), "first\n");
        equal(await outcome(program.readFile(path(name))), reads, `read: ${what}`);
        const appending = constants.O_WRONLY | constants.O_APPEND;
        equal(await outcome(program.open(path(name), appending)), writes, `append: ${what}`);
        equal(await outcome(program.call("os.truncate", path(name), 3)), writes, `cut: ${what}`);

        await root.writeFile(path(name), "first\n");
        const delivered = await hints.deliver(Buffer.from("delivered\n"), [{ path: name }]);
        equal(replied(delivered), writes, `deliver: ${what}`);
        if (!delivered.ok) equal(delivered.path, name, "the refusal names the file");
        const text = writes === "ok" ? "first\ndelivered\n" : "first\n";
        equal(await root.text(path(name)), text, `content: ${what}`);
        const removed = await hints.request({ op: "remove", path: name, offset: 0, length: 1 });
        equal(replied(removed), writes, `remove: ${what}`);
        const own = `own-${user.uid}`;
        await program.writeFile(path(own), "");
        const from = { path: name, offset: 0, length: 3 };
        const shared = await hints.request({ op: "share", from, to: { path: own } });
        equal(replied(shared), reads, `share: ${what}`);
        await root.unlink(path(own));
      }
    }
    t.pass();
  });

  await t.test("directories of every mode: search and creation", async (t) => {
    const actors = await makeActors(harness, users);
    let number = 0;
    for (const mode of [0o700, 0o711, 0o750, 0o770, 0o755, 0o773, 0o001, 0o030]) {
      const directory = `dir-${number++}`;
      await root.mkdir(path(directory));
      await root.writeFile(path(`${directory}/box`), "");
      await root.call("os.chmod", path(`${directory}/box`), 0o666);
      await root.call("os.chown", path(directory), users.alice.uid, users.sharedGroup);
      await root.call("os.chmod", path(directory), mode);
      for (const { name: who, user, program, hints } of actors) {
        const expected = (want: number) =>
          may(user, want, users.alice.uid, users.sharedGroup, mode) ? "ok" : "EACCES";
        const what = `${who}, directory ${mode.toString(8)}`;
        equal(await outcome(program.stat(path(`${directory}/box`))), expected(1), `stat: ${what}`);
        equal(
          replied(await hints.deliver(Buffer.from("x\n"), [{ path: `${directory}/box` }])),
          expected(1),
          `deliver: ${what}`,
        );
        const made = `${directory}/new`;
        const reply = await hints.deliver(Buffer.from("x\n"), [{ path: made, create: {} }]);
        equal(replied(reply), expected(3), `create: ${what}`);
        if (reply.ok) {
          const { uid, mode } = await root.stat(path(made));
          deepEqual([uid, mode & 0o7777], [user.uid, 0o600]);
          await root.unlink(path(made));
        }
        ok(!(await root.exists(path(made))));
      }
    }
    t.pass();
  });

  await t.test("one file that is not permitted changes nothing in the others", async (t) => {
    const [, alice] = await makeActors(harness, users);
    for (const name of ["all-0", "all-1", "all-2"]) {
      await root.writeFile(path(name), "");
      await root.call("os.chmod", path(name), name === "all-1" ? 0o600 : 0o666);
    }
    const targets = ["all-0", "all-1", "all-2"].map((path) => ({ path }));
    const reply = await alice!.hints.deliver(Buffer.from("x\n"), targets);
    deepEqual([reply.ok, reply.error, reply.path], [false, "EACCES", "all-1"]);
    for (const { path: name } of targets) equal((await root.stat(path(name))).size, 0);
    t.pass();
  });

  await t.test("the rights of the control file are its opener's, and nobody else's", async (t) => {
    const [alice, stranger] = [harness.program(users.alice), harness.program(users.stranger)];
    await root.writeFile(path("alices"), "");
    await root.call("os.chown", path("alices"), users.alice.uid, users.alice.gid);
    await root.call("os.chmod", path("alices"), 0o600);
    const hints = await harness.hints(alice);
    const units = await hints.request({ op: "write" }, Buffer.from("a unit\n"));
    equal(units.ok, true, JSON.stringify(units));
    const [unit] = units["units"] as string[];

    const socket = `\0onespool-test-${stranger.pid}`;
    await stranger.call("listen", socket);
    await alice.call("send_fd", socket, hints.fd);
    const passed = (await stranger.call("receive_fd", socket)) as number;
    const request = { op: "deliver", shared: [{ unit }], to: [{ path: "alices" }], bodyBytes: 0 };
    const line = `${JSON.stringify(request)}\n`;
    await refuses(stranger.write(passed, line), "EPERM");
    await refuses(stranger.read(passed, 100), "EPERM");

    const own = await harness.hints(stranger);
    await stranger.writeFile(path("strangers"), "");
    const target = { to: [{ path: "strangers" }], shared: [{ unit }] };
    const reply = await own.request({ op: "deliver", ...target });
    deepEqual([reply.ok, reply.reason], [false, "unknownUnit"]);
    equal((await stranger.stat(path("strangers"))).size, 0);
    const { ok, error } = await hints.request({ ...request });
    deepEqual([ok, error], [true, undefined]);
    equal(await root.text(path("alices")), "a unit\n");
    t.pass();
  });

  await t.test(
    "deliver=UID appends and creates under its directories, and reads nothing",
    async (t) => {
      const mailer = harness.program(users.bob);
      const hints = await harness.hints(mailer);
      const others = await harness.hints(harness.program(users.stranger));
      for (const directory of ["mail", "elsewhere"]) {
        await root.mkdir(path(directory), 0o700);
        await root.writeFile(path(`${directory}/box`), "first\n");
        await root.call("os.chown", path(`${directory}/box`), users.alice.uid, users.alice.gid);
        await root.call("os.chmod", path(`${directory}/box`), 0o600);
      }
      const send = async (client: HintClient, path: string, create?: object) =>
        replied(
          await client.deliver(Buffer.from("mail\n"), [{ path, ...(create ? { create } : {}) }]),
        );
      equal(await send(hints, "mail/box"), "ok");
      equal(await root.text(path("mail/box")), "first\nmail\n");
      equal(await send(hints, "elsewhere/box"), "EACCES");
      equal(await send(others, "mail/box"), "EACCES");
      equal(await root.text(path("elsewhere/box")), "first\n");

      const { uid, gid } = users.alice;
      equal(await send(hints, "mail/new", { uid, gid, mode: 0o600 }), "ok");
      const made = await root.stat(path("mail/new"));
      deepEqual([made.uid, made.gid, made.mode & 0o7777], [uid, gid, 0o600]);
      ok((await send(hints, "elsewhere/new", { uid, gid })) !== "ok");
      ok(!(await root.exists(path("elsewhere/new"))));

      await refuses(mailer.readFile(path("mail/box")), "EACCES");
      await mailer.writeFile(path("mine"), "");
      const from = { path: "mail/box", offset: 0, length: 3 };
      const shared = await hints.request({ op: "share", from, to: { path: "mine" } });
      equal(replied(shared), "EACCES");
      const removed = await hints.request({ op: "remove", path: "mail/box", offset: 0, length: 1 });
      equal(replied(removed), "EACCES");
      equal(await root.text(path("mail/box")), "first\nmail\n");
      t.pass();
    },
  );

  await t.test("a reader does not learn who else has a message", async (t) => {
    const [, alice] = await makeActors(harness, users);
    const names = ["copy-0", "copy-1", "copy-2"];
    for (const name of names) {
      await root.writeFile(path(name), "");
      await root.call("os.chmod", path(name), 0o666);
    }
    const rootHints = await harness.hints(root);
    const message = Buffer.from(`${"shared ".repeat(500)}\n`);
    const reply = await rootHints.deliver(
      message,
      names.map((path) => ({ path })),
    );
    equal(reply.ok, true, JSON.stringify(reply));
    const stat = await alice!.program.stat(path("copy-0"));
    equal(stat.nlink, 1);
    ok(stat.blocks * 512 >= message.length);
    const told = await alice!.hints.request({ op: "statistics", path: "copy-0" });
    deepEqual(told, { ok: true, logicalBytes: message.length });
    const whole = await alice!.hints.request({ op: "statistics" });
    deepEqual(Object.keys(whole).sort(), ["files", "logicalBytes", "ok"]);
    t.pass();
  });
});
