import t from "tap";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { sendMail } from "../cli/demo-mail.ts";
import { command, noKernelBinding, onespool, run } from "./cli-process.ts";
import { isMounted, isRunning, place, Supervised, until, type Place } from "./supervised.ts";

const skip = noKernelBinding();
const FRONT = "front/main";
const SPOOL = "--while-connected";
t.setTimeout(240_000);

const mail = {
  sender: "a@example.org",
  recipients: ["user1@example.test", "user2@example.test", "user3@example.test"],
  message: Buffer.from("Subject: one\n\n.hidden dot\nend\n"),
};

interface Tap {
  teardown(done: () => Promise<void>): unknown;
}

function configText({ store, mount, directory }: Place, smtp = "127.0.0.1:0"): string {
  return `
hostname = "mail.example.test"
user = "nobody"
metrics = "127.0.0.1:0"
listen = { smtp = ["${smtp}"], lmtp = [] }
spool = { store = "${store}", mount = "${mount}", binding = "kernel" }
recipients = { domains = ["example.test"], users = ["user1", "user2", "user3"] }
workers = { count = 1 }
log = { file = "${join(directory, "log")}" }
`;
}

function begin(t: Tap, text: (where: Place) => string = configText) {
  const where = place(t);
  const file = join(where.directory, "onespool.toml");
  writeFileSync(file, text(where));
  return { ...where, file, server: new Supervised(t, command, ["serve", "--config", file]) };
}

async function portOf(server: Supervised): Promise<{ host: string; port: number }> {
  await server.says("metrics: ");
  const [, port] = /listening: smtp 127\.0\.0\.1:(\d+)/.exec(server.stdout) ?? [];
  return { host: "127.0.0.1", port: Number(port) };
}

/** A session by hand: each command waits for its reply. */
class Session {
  readonly socket: Socket;
  #text = "";

  constructor(port: { host: string; port: number }) {
    this.socket = connect(port);
    this.socket.on("data", (bytes: Buffer) => (this.#text += bytes.toString("latin1")));
    this.socket.on("error", () => undefined);
  }

  async reply(): Promise<string> {
    await until(
      "there is a reply",
      () => /^\d{3} .*\r\n/m.test(this.#text) || this.socket.destroyed,
    );
    const text = this.#text;
    this.#text = "";
    return text;
  }

  async say(line: string): Promise<string> {
    this.socket.write(`${line}\r\n`);
    return this.reply();
  }
}

async function contents(path: string): Promise<string> {
  return (await run("timeout", "20", "cat", path)).stdout;
}

async function isTaken(port: { host: string; port: number }): Promise<boolean> {
  try {
    return (await sendMail(port, mail)).startsWith("250");
  } catch {
    return false;
  }
}

t.test("a mail by SMTP stands in every mailbox when it is answered", { skip }, async (t) => {
  const { store, mount, server } = begin(t);
  const port = await portOf(server);
  t.match(await sendMail(port, mail), /^250 2\.\d\.\d /);
  for (const user of ["user1", "user2", "user3"]) {
    t.match(await contents(join(mount, user)), /^From a@example\.org [^]*\n\n\.hidden dot\nend\n/);
  }
  await t.rejects(sendMail(port, { ...mail, recipients: ["user4@example.test"] }), {
    message: /^SMTP: 550 5\.1\.1 /,
  });
  server.child.kill("SIGTERM");
  t.equal(await server.end(), 0);
  t.notOk(isMounted(mount));
  const checked = await onespool("fsck", store);
  t.equal(checked.code, 0);
});

t.test(
  "space is given back in the background unless the configuration says no",
  { skip },
  async (t) => {
    const off = (where: Place): string =>
      configText(where).replace(`binding = "kernel"`, `binding = "kernel", reclaim = false`);
    for (const [text, state] of [
      [configText, "resting"],
      [off, "off"],
    ] as const) {
      const { mount, server } = begin(t, text);
      await portOf(server);
      const { stdout } = await onespool("reclaim", "--json", mount);
      t.equal((JSON.parse(stdout) as { state: string }).state, state);
      server.child.kill("SIGTERM");
      t.equal(await server.end(), 0);
    }
  },
);

t.test("front and workers are the account, without a way back", { skip }, async (t) => {
  const { server } = begin(t);
  await portOf(server);
  const front = server.childWith(FRONT);
  const children = readFileSync(`/proc/${front}/task/${front}/children`, "utf8");
  for (const pid of [front, ...children.split(" ").filter(Boolean).map(Number)]) {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    t.match(status, /^Uid:\t65534\t65534\t65534\t65534$/m);
    t.match(status, /^Gid:\t65534\t65534\t65534\t65534$/m);
    t.match(status, /^Groups:\t65534 $/m);
    t.match(status, /^CapPrm:\t0+$/m);
    t.match(status, /^CapEff:\t0+$/m);
    t.match(status, /^Umask:\t0077$/m);
  }
});

t.test("the account can neither open the store nor read a mailbox", { skip }, async (t) => {
  const { server, store, mount } = begin(t);
  const port = await portOf(server);
  t.ok(await isTaken(port));
  const asAccount = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  await run("timeout", "20", ...asAccount, "true");
  for (const path of [store, join(mount, "user1")]) {
    const byRoot = await run("timeout", "20", "find", path, "-type", "f", "-readable");
    t.not(byRoot.stdout, "", "there is something to read");
    const read = run("timeout", "20", ...asAccount, "find", path, "-type", "f", "-readable");
    const found = await read.catch((error: unknown) => error as { stdout: string });
    t.equal(found.stdout, "", path);
  }
});

t.test("mail goes on after front and spool were killed", { skip }, async (t) => {
  const { mount, server } = begin(t);
  const port = await portOf(server);
  t.ok(await isTaken(port));
  process.kill(server.childWith(SPOOL), "SIGKILL");
  await until("mail is taken again", () => isTaken(port));
  const front = server.childWith(FRONT);
  process.kill(front, "SIGKILL");
  await until("there is a new front", () => ![0, front].includes(server.childWith(FRONT)));
  // The port was the kernel's choice and may be another one now: the log does not matter, mailboxes do.
  const found = (await contents(join(mount, "user1"))).split("\n.hidden dot\n").length - 1;
  t.ok(found >= 2, "what was answered is there");
  server.child.kill("SIGTERM");
  t.equal(await server.end(), 0);
});

t.test("a reload keeps open sessions, and the new users count", { skip }, async (t) => {
  const { directory, file, server } = begin(t);
  const port = await portOf(server);
  const trusted = new Session(port);
  await trusted.reply();
  await trusted.say("EHLO client.example.org");
  await trusted.say("MAIL FROM:<a@example.org>");
  t.match(await trusted.say("RCPT TO:<user1@example.test>"), /^250 /);
  const idle = new Session(port);
  t.match(await idle.reply(), /^220 mail\.example\.test /);
  writeFileSync(file, readFileSync(file, "utf8").replace('"user3"', '"user3", "newcomer"'));
  server.child.kill("SIGHUP");
  const log = join(directory, "log");
  await until("it is reloaded", () =>
    readFileSync(log, "utf8").includes('"msg":"configuration reloaded"'),
  );
  await idle.say("EHLO client.example.org");
  await idle.say("MAIL FROM:<a@example.org>");
  t.match(await idle.say("RCPT TO:<newcomer@example.test>"), /^250 /);
  t.match(await trusted.say("DATA"), /^354 /);
  t.match(await trusted.say("Subject: one\r\n\r\nend\r\n."), /^250 /);
  server.child.kill("SIGTERM");
  t.match(await idle.say("DATA"), /^(354|421) /);
  trusted.socket.destroy();
  idle.socket.destroy();
  t.equal(await server.end(), 0);
});

t.test("a message that is being received when SIGTERM comes is finished", { skip }, async (t) => {
  const { mount, store, server, directory } = begin(t);
  const session = new Session(await portOf(server));
  await session.reply();
  await session.say("EHLO client.example.org");
  await session.say("MAIL FROM:<a@example.org>");
  await session.say("RCPT TO:<user1@example.test>");
  t.match(await session.say("DATA"), /^354 /);
  session.socket.write("Subject: late\r\n\r\n");
  server.child.kill("SIGTERM");
  await until("it drains", () => readFileSync(join(directory, "log"), "utf8").includes("draining"));
  t.match(await session.say("."), /^250 /);
  session.socket.end();
  t.equal(await server.end(), 0);
  t.notOk(isMounted(mount));
  const stat = JSON.parse((await onespool("stat", store, "--json")).stdout) as { files: number };
  t.equal(stat.files, 1);
});

t.test("a second SIGTERM ends everything at once", { skip }, async (t) => {
  const { mount, directory, server } = begin(t);
  const session = new Session(await portOf(server));
  await session.reply();
  await session.say("EHLO client.example.org");
  await session.say("MAIL FROM:<a@example.org>");
  await session.say("RCPT TO:<user1@example.test>");
  await session.say("DATA");
  const front = server.childWith(FRONT);
  const text = readFileSync(`/proc/${front}/task/${front}/children`, "utf8");
  const workers = text.split(" ").filter(Boolean).map(Number);
  t.ok(workers.length > 0);
  server.child.kill("SIGTERM");
  await until("it drains", () => readFileSync(join(directory, "log"), "utf8").includes("draining"));
  server.child.kill("SIGTERM");
  t.equal(await server.end(), 1);
  await until("nothing runs", () => ![front, ...workers].some(isRunning) && !isMounted(mount));
  t.pass("nothing runs and nothing is mounted");
});

t.test(
  "what keeps it from starting is said in one line, and nothing is left",
  { skip },
  async (t) => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    t.teardown(() => other.close());
    const { port } = other.address() as AddressInfo;
    const taken = begin(t, (where) => configText(where, `127.0.0.1:${port}`));
    t.equal(await taken.server.end(), 1);
    t.match(
      taken.server.stderr,
      new RegExp(`\nonespool: .*127\\.0\\.0\\.1 port ${port}: another program listens there\n$`),
    );
    t.notOk(isMounted(taken.mount));

    const nobody = begin(t, (where) => configText(where).replace('"nobody"', '"no-such-account"'));
    t.equal(await nobody.server.end(), 1);
    t.match(nobody.server.stderr, /^onespool: .*user: .*no-such-account.*\n$/);

    const wrong = begin(t, (where) => `${configText(where)}\nlimit = 3\n`);
    t.equal(await wrong.server.end(), 1);
    t.match(wrong.server.stderr, /^onespool: .*onespool\.toml:\d+: .*limit/);
    t.notOk(existsSync(wrong.store));
  },
);

t.test(
  "without a configuration it serves an embedded default in the current directory",
  { skip },
  async (t) => {
    const { directory, mount } = place(t);
    rmSync(mount, { recursive: true });
    const server = new Supervised(t, command, ["serve"], { cwd: directory });
    // Another server may have the fixed ports: then it says so.
    await until("it serves or has ended", () => {
      return server.stdout.includes("metrics: ") || !isRunning(server.pid);
    });
    const spool = join(directory, "spool");
    if (isRunning(server.pid)) {
      t.match(server.stdout, `${join(directory, "spool-store")} is mounted at ${spool}`);
      t.match(server.stdout, "listening: smtp 127.0.0.1:2525\nlistening: lmtp 127.0.0.1:2524\n");
      t.ok(isMounted(spool));
      server.child.kill("SIGINT");
      t.equal(await server.end(), 0);
    } else {
      await server.end();
      t.match(server.stderr, /another program listens there|the port is in use/);
    }
    t.notOk(isMounted(spool));
  },
);
