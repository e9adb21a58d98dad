import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Native } from "../bench/native.ts";

const directory = mkdtempSync(join(tmpdir(), "onespool-bench-load-"));
const native = await Native.compile(directory, ["smtp_load"]);
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly errors: string;
  /** The last line, parsed. */
  readonly report: {
    readonly messages: number;
    readonly refused: number;
    readonly connections: number;
    readonly pipelined: number;
    readonly unfinished: number;
    readonly errors: Readonly<Record<string, { readonly count: number; readonly text: string }>>;
  };
}

function startLoad(...argv: (string | number)[]) {
  const child = spawn(native.path("smtp_load"), argv.map(String), { stdio: "pipe" });
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const ended = once(child, "close").then(([code]): Ended => {
    const last = output.trim().split("\n").at(-1);
    return { code, errors, report: JSON.parse(last === undefined || last === "" ? "{}" : last) };
  });
  return { child, ended };
}

const load = (...argv: (string | number)[]): Promise<Ended> => startLoad(...argv).ended;

interface Script {
  readonly isPipelining?: boolean;
  readonly isLmtp?: boolean;
  /** Replaces the usual reply to a command, to the end of the data ("."), or is the greeting (""). */
  readonly reply?: (command: string) => string | undefined;
  /** Replies wait until the client has been silent this long. */
  readonly replyDelayMs?: number;
}

/** A mail server that takes everything, but user names with "unknown", and remembers what it was told. */
class Scripted {
  readonly commands: string[] = [];
  readonly messages: string[] = [];
  /** The greatest number of commands that stood unanswered. */
  unansweredMax = 0;
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #script: Script;

  constructor(script: Script) {
    this.#script = script;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(t: Test, script: Script = {}): Promise<Scripted> {
    const scripted = new Scripted(script);
    scripted.#server.listen(0, "127.0.0.1");
    await once(scripted.#server, "listening");
    t.teardown(() => {
      for (const socket of scripted.sockets) socket.destroy();
      scripted.#server.close();
    });
    return scripted;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #serve(socket: Socket): void {
    this.sockets.add(socket.setNoDelay(true));
    socket.on("close", () => this.sockets.delete(socket)).on("error", () => {});
    let pending = "";
    let content: string | undefined;
    let recipients = 0;
    let unanswered: string[] = [];
    const answer = (): void => {
      this.unansweredMax = Math.max(this.unansweredMax, unanswered.length);
      for (const reply of unanswered) socket.write(reply);
      if (unanswered.some((reply) => reply.startsWith("221"))) socket.end();
      unanswered = [];
    };
    const say = (reply: string): void => {
      unanswered.push(reply);
      if (this.#script.replyDelayMs === undefined) answer();
    };
    let timer: NodeJS.Timeout | undefined;
    say(this.#script.reply?.("") ?? "220 ready\r\n");
    answer();
    socket.setEncoding("latin1").on("data", (text: string) => {
      pending += text;
      for (let end = pending.indexOf("\r\n"); end !== -1; end = pending.indexOf("\r\n")) {
        const line = pending.slice(0, end);
        pending = pending.slice(end + 2);
        if (content !== undefined && line !== ".") {
          content += `${line}\r\n`;
          continue;
        }
        if (content !== undefined) this.messages.push(content);
        content = undefined;
        this.commands.push(line);
        if (line.startsWith("MAIL")) recipients = 0;
        if (line.startsWith("RCPT") && !line.includes("unknown")) recipients++;
        const reply = this.#script.reply?.(line) ?? this.#usualReply(line, recipients);
        if (line === "DATA" && reply.startsWith("354")) content = "";
        say(reply);
      }
      if (this.#script.replyDelayMs === undefined) return;
      clearTimeout(timer);
      timer = setTimeout(answer, this.#script.replyDelayMs);
    });
  }

  #usualReply(command: string, recipients: number): string {
    const { isPipelining = true, isLmtp = false } = this.#script;
    if (command.startsWith(isLmtp ? "LHLO" : "EHLO")) {
      return `250-hello\r\n${isPipelining ? "250-PIPELINING\r\n" : ""}250 SIZE 1000000\r\n`;
    }
    if (command.startsWith("RCPT") && command.includes("unknown"))
      return "550 5.1.1 no such user\r\n";
    if (command === "DATA") return "354 go on\r\n";
    if (command === "QUIT") return "221 bye\r\n";
    if (command === ".") return "250 2.0.0 taken\r\n".repeat(isLmtp ? recipients : 1);
    return /^(MAIL|RCPT)/.test(command) ? "250 2.1.0 fine\r\n" : "500 what\r\n";
  }

  count(prefix: string): number {
    return this.commands.filter((command) => command.startsWith(prefix)).length;
  }
}

t.test("MAIL, all RCPT and DATA go out without waiting where PIPELINING is offered", async (t) => {
  const server = await Scripted.start(t, { replyDelayMs: 20 });
  const { code, report } = await load("--port", server.port, "--messages", 3, "--recipients", 5);
  t.equal(code, 0);
  t.match(report, { messages: 3, connections: 3, pipelined: 3, errors: {} });
  t.equal(server.unansweredMax, 7);
  t.equal(server.messages.length, 3);
});

t.test("each command waits for its reply with --no-pipelining", async (t) => {
  const server = await Scripted.start(t, { replyDelayMs: 5 });
  const argv = ["--port", server.port, "--messages", 3, "--recipients", 5, "--no-pipelining"];
  const { code, report } = await load(...argv);
  t.equal(code, 0);
  t.match(report, { messages: 3, pipelined: 0 });
  t.equal(server.unansweredMax, 1);
});

t.test("each command waits for its reply where PIPELINING is not offered", async (t) => {
  const server = await Scripted.start(t, { replyDelayMs: 5, isPipelining: false });
  const { code } = await load("--port", server.port, "--messages", 2, "--recipients", 3);
  t.equal(code, 0);
  t.equal(server.unansweredMax, 1);
});

t.test("messages have the size that was asked for and each its own Message-ID", async (t) => {
  const server = await Scripted.start(t);
  for (const size of [600, 4096, 4097, 4098, 4099, 4100, 100_000]) {
    server.messages.length = 0;
    const { code } = await load("--port", server.port, "--messages", 4, "--size", size);
    t.equal(code, 0);
    t.same(
      server.messages.map((message) => message.length),
      [size, size, size, size],
    );
    const ids = server.messages.map((message) => /^Message-ID: (<.+>)\r$/m.exec(message)?.[1]);
    t.equal(new Set(ids).size, 4);
    t.notOk(ids.includes(undefined));
    t.notMatch(server.messages.join(""), /^(\.|From )/m);
  }
});

t.test("with --rotate each message goes to the users after those of the one before", async (t) => {
  const server = await Scripted.start(t);
  const argv = ["--port", server.port, "--messages", 2, "--recipients", 3, "--users", 4];
  await load(...argv, "--connections", 1, "--rotate");
  const users = server.commands.map((command) => /user(\d)/.exec(command)?.[1]).join("");
  t.equal(users, "123412");
});

t.test("a connection carries as many messages as --per-connection says", async (t) => {
  const server = await Scripted.start(t);
  const argv = ["--port", server.port, "--messages", 7, "--connections", 2];
  const { code, report } = await load(...argv, "--per-connection", 3);
  t.equal(code, 0);
  t.match(report, { messages: 7, connections: 3 });
  t.equal(server.count("EHLO"), 3);
  t.equal(server.messages.length, 7);
});

t.test("an LMTP message is taken when each recipient has his reply", async (t) => {
  const server = await Scripted.start(t, { isLmtp: true });
  const argv = ["--port", server.port, "--lmtp", "--messages", 4, "--recipients", 6];
  const { code, report } = await load(...argv);
  t.equal(code, 0);
  t.equal(report.messages, 4);
  t.equal(server.count("LHLO"), 4);
});

t.test("an LMTP message that one recipient's reply refuses is missing", async (t) => {
  const server = await Scripted.start(t, {
    isLmtp: true,
    reply: (command) => (command === "." ? "250 taken\r\n452 4.2.2 full\r\n" : undefined),
  });
  const argv = ["--port", server.port, "--lmtp", "--messages", 1, "--recipients", 2];
  const { code, report, errors } = await load(...argv);
  t.equal(code, 1);
  t.match(report, { messages: 0, errors: { content: { count: 1, text: "452 4.2.2 full" } } });
  t.match(errors, "0 of 1 messages taken");
});

for (const [percent, bounces] of [
  [25, 20],
  [50, 60],
  [75, 180],
] as const) {
  t.test(`${percent} of 100 connections bounce, evenly between the good ones`, async (t) => {
    const server = await Scripted.start(t);
    const argv = ["--port", server.port, "--messages", 60, "--bounce", percent];
    const { code, report } = await load(...argv, "--connections", 1);
    t.equal(code, 0);
    t.match(report, { messages: 60, refused: bounces, connections: 60 + bounces });
    const order = server.commands.filter((command) => command.startsWith("RCPT"));
    let bounced = 0;
    let furthest = 0;
    for (const [index, command] of order.entries()) {
      if (command.includes("unknown")) bounced++;
      furthest = Math.max(furthest, Math.abs(bounced - ((index + 1) * percent) / 100));
    }
    t.equal(bounced, bounces);
    t.ok(furthest <= 1, "never further from the share than one connection");
    t.equal(server.count("DATA"), 60);
  });
}

t.test("a bounce that is not refused is an error", async (t) => {
  const server = await Scripted.start(t, {
    reply: (command) => (command.startsWith("RCPT") ? "250 everybody is here\r\n" : undefined),
  });
  const { code, report } = await load("--port", server.port, "--messages", 2, "--bounce", 50);
  t.equal(code, 1);
  t.match(report, { messages: 2, refused: 0, errors: { rcpt: { count: 2 } } });
});

const UNEXPECTED = [
  { stage: "greeting", command: "", reply: "421 4.7.0 too many connections\r\n" },
  { stage: "mail", command: "MAIL", reply: "451 4.3.0 not now\r\n" },
  { stage: "rcpt", command: "RCPT", reply: "450 4.2.1 locked\r\n" },
  { stage: "data", command: "DATA", reply: "503 5.5.1 why\r\n" },
  { stage: "content", command: ".", reply: "452 4.3.1 disk full\r\n" },
  { stage: "quit", command: "QUIT", reply: "500 stay\r\n" },
] as const;

for (const { stage, command, reply } of UNEXPECTED) {
  t.test(`an unexpected reply is reported with its text: ${stage}`, async (t) => {
    let seen = 0;
    const server = await Scripted.start(t, {
      reply: (line) => {
        const isMeant = command === "" ? line === "" : line.startsWith(command);
        return isMeant && ++seen === 2 ? reply : undefined;
      },
    });
    const { code, report, errors } = await load("--port", server.port, "--messages", 5);
    t.equal(code, 1);
    t.same(report.errors, { [stage]: { count: 1, text: reply.trim() } });
    t.equal(report.messages, stage === "quit" ? 5 : 4);
    t.match(errors, `smtp_load: ${stage}: 1 times, first: ${reply.trim()}`);
  });
}

t.test("a text that is no reply, and a connection that ends, are errors", async (t) => {
  const noReply = await Scripted.start(t, {
    reply: (command) => (command === "." ? "fine\r\n" : undefined),
  });
  const first = await load("--port", noReply.port, "--messages", 1);
  t.equal(first.code, 1);
  t.equal(first.report.errors["content"]?.text, "no reply: fine");

  const closing = createServer((socket) => socket.end());
  closing.listen(0, "127.0.0.1");
  await once(closing, "listening");
  t.teardown(() => closing.close());
  const port = (closing.address() as AddressInfo).port;
  const second = await load("--port", port, "--messages", 2);
  t.equal(second.code, 1);
  t.equal(second.report.messages, 0);
  t.match(second.report.errors, { connect: { count: 2, text: "closed by the server" } });
});

t.test("a server that does not answer is given up at the deadline", async (t) => {
  const server = await Scripted.start(t, { reply: () => "" });
  const argv = ["--port", server.port, "--messages", 3, "--connections", 2, "--deadline", 1];
  const { code, report } = await load(...argv);
  t.equal(code, 1);
  t.match(report, { messages: 0, unfinished: 2 });
});

t.test("idle connections stand until standard input ends", async (t) => {
  const server = await Scripted.start(t);
  const { child, ended } = startLoad("--port", server.port, "--idle", "--connections", 300);
  const [line] = (await once(child.stdout, "data")) as [string];
  t.match(JSON.parse(line), { standing: 300 });
  t.equal(server.sockets.size, 300);
  child.stdin.end();
  const { code, report } = await ended;
  t.equal(code, 0);
  t.match(report, { connections: 300, errors: {} });
  t.equal(server.count("EHLO"), 300);
});

t.test("an idle connection that the server closes is an error", async (t) => {
  const server = await Scripted.start(t);
  const { child, ended } = startLoad("--port", server.port, "--idle", "--connections", 3);
  await once(child.stdout, "data");
  const [socket] = server.sockets;
  const closed = once(socket as Socket, "close");
  socket?.end("421 4.4.2 idle\r\n");
  await closed;
  child.stdin.end();
  const { code, report } = await ended;
  t.equal(code, 1);
  t.match(report.errors, { idle: { count: 1, text: "421 4.4.2 idle" } });
});

t.test("connections can come from several addresses", async (t) => {
  const from: (string | undefined)[] = [];
  const server = createServer((socket) => {
    from.push(socket.remoteAddress);
    socket.end("421 no\r\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  await load("--port", port, "--messages", 6, "--sources", 3);
  for (const address of ["127.1.0.1", "127.1.0.2", "127.1.0.3"]) {
    t.equal(from.filter((each) => each === address).length, 2);
  }
});

t.test("only loopback addresses are driven", async (t) => {
  for (const host of ["192.0.2.1", "0.0.0.0", "::", "mail.example.test"]) {
    const { code, errors } = await load("--host", host, "--port", 2525);
    t.equal(code, 2, host);
    t.match(errors, "--host wants a loopback address");
  }
});
