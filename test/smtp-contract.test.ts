/**
 * What server/smtp/connection.ts relies on inside smtp-server. Another version of it has to pass this before the
 * pinned one is raised.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { SMTPServerAddress } from "smtp-server";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import t from "tap";
import { defaultConfig } from "../server/config/defaults.ts";
import { Connection, type ConnectionHost } from "../server/smtp/connection.ts";
import { Protocols, type DataDone } from "../server/smtp/protocol.ts";

const require = createRequire(import.meta.url);
const config = defaultConfig("/nowhere", false);
const endpoints = {
  id: "session",
  remoteAddress: "192.0.2.7",
  remotePort: 1234,
  localAddress: "127.0.0.1",
  localPort: 25,
};

class Host implements ConnectionHost {
  replies: string[] = [];
  ended = 0;
  tls = 0;
  resets = 0;

  write(reply: string): void {
    this.replies.push(reply);
  }

  end(): void {
    this.ended++;
  }

  startTls(): void {
    this.tls++;
  }

  resetTransaction(): void {
    this.resets++;
  }

  mayXclient(): boolean {
    return false;
  }
}

interface Talk {
  readonly host: Host;
  readonly connection: Connection;
  readonly recipients: SMTPServerAddress[];
  data: DataDone | undefined;
  say(line: string): string[];
}

function begin(hasTls = false, protocols = new Protocols(config, hasTls)): Talk {
  const host = new Host();
  const connection = Connection.fresh(protocols.server("smtp"), host, endpoints);
  return attach(protocols, host, connection);
}

function attach(protocols: Protocols, host: Host, connection: Connection): Talk {
  const talk: Talk = {
    host,
    connection,
    recipients: [],
    data: undefined,
    say: (line) => {
      host.replies = [];
      connection.command(Buffer.from(line), () => undefined);
      return host.replies;
    },
  };
  protocols.attach(connection.session, {
    recipient: (address, done) => {
      talk.recipients.push(address);
      done();
    },
    data: (done) => (talk.data = done),
  });
  return talk;
}

t.test("smtp-server is the pinned version", (t) => {
  const { version } = require("smtp-server/package.json") as { version: string };
  const own = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    dependencies: Record<string, string>;
  };
  t.equal(version, own.dependencies["smtp-server"]);
  t.end();
});

t.test("the methods that are overridden or called are there", (t) => {
  const methods = SMTPConnection.prototype as unknown as Record<string, unknown>;
  for (const name of [
    "send",
    "close",
    "upgrade",
    "_createParser",
    "_whenWritable",
    "_resetSession",
    "_proxyCommandAllowed",
    "_onCommand",
    "_setClientHostname",
    "_sendGreeting",
  ]) {
    t.type(methods[name], "function", name);
  }
  t.end();
});

t.test("the fields that are carried over are set by the constructor", (t) => {
  const { connection } = begin();
  for (const name of [
    "clientHostname",
    "openingCommand",
    "hostNameAppearsAs",
    "tlsOptions",
    "secure",
    "_originalRemoteAddress",
    "_xClient",
    "_rcptIndex",
    "_transactionCounter",
    "_unrecognizedCommands",
    "_maxAllowedUnauthenticatedCommands",
    "_ready",
    "_closing",
    "_upgrading",
    "_canEmitConnection",
    "session",
  ]) {
    t.ok(Object.hasOwn(connection, name), name);
  }
  t.end();
});

t.test("of its socket and its parser, smtp-server uses what stands in for them", (t) => {
  const touched = new Set<string>();
  const { connection, say } = begin();
  for (const name of ["_socket", "_parser"] as const) {
    const fields = connection as unknown as Record<string, object>;
    fields[name] = new Proxy(fields[name]!, {
      get: (target, property) => {
        touched.add(`${name}.${String(property)}`);
        const value = Reflect.get(target, property) as unknown;
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  }
  connection.greet();
  for (const line of ["EHLO a", "MAIL FROM:<>", "RCPT TO:<user1@example.test>", "DATA"]) say(line);
  const talk = say("RSET");
  t.match(talk[0], /^250 /);
  t.strictSame([...touched].sort(), [
    "_parser.startDataMode",
    "_socket.destroyed",
    "_socket.readyState",
    "_socket.write",
  ]);
  t.end();
});

t.test("a session is spoken to its end without socket and parser", (t) => {
  const talk = begin();
  talk.connection.greet();
  t.match(talk.host.replies, [/^220 .* ESMTP\r\n$/]);
  t.match(talk.say("EHLO client.test"), [/^250-[^]*250-PIPELINING\r\n[^]*SIZE 26214400\r\n$/]);
  t.match(talk.say("MAIL FROM:<a@b.test> SIZE=10"), [/^250 2\.1\.0 /]);
  t.match(talk.say("RCPT TO:<user1@example.test>"), [/^250 2\.1\.5 /]);
  t.match(talk.say("DATA"), [/^354 /]);
  talk.host.replies = [];
  const { resets } = talk.host;
  talk.data!(null, "Stored");
  t.strictSame(talk.host.replies, ["250 2.6.0 Stored\r\n"]);
  t.equal(talk.host.resets, resets + 1);
  t.match(talk.say("QUIT"), [/^221 2\.0\.0 /]);
  t.equal(talk.host.ended, 1);
  t.end();
});

t.test("facts that were taken out and restored go on where they were", (t) => {
  const protocols = new Protocols(config, true);
  const talk = begin(true, protocols);
  talk.connection.greet();
  talk.say("EHLO client.test");
  talk.say("MAIL FROM:<a@b.test> BODY=8BITMIME RET=HDRS ENVID=xyz SMTPUTF8");
  const facts = JSON.parse(JSON.stringify(talk.connection.facts())) as ReturnType<
    Connection["facts"]
  >;
  const host = new Host();
  const recipient = { address: "user1@example.test", args: false as const };
  const restored = Connection.restore(protocols.server("smtp"), host, facts, recipient);
  t.strictSame(host.replies, ["250 2.1.5 Accepted\r\n"]);
  t.strictSame(restored.facts(), talk.connection.facts());
  t.strictSame(restored.session.envelope, {
    ...talk.connection.session.envelope,
    rcptTo: [recipient],
  });
  const after = attach(protocols, host, restored);
  t.match(after.say("STARTTLS"), [/^500 /], "TLS could only be started before");
  t.match(after.say("DATA"), [/^354 /]);
  t.end();
});

t.test("STARTTLS makes the host start TLS, and its end forgets what was said", (t) => {
  const talk = begin(true);
  talk.connection.greet();
  talk.say("EHLO client.test");
  talk.say("MAIL FROM:<a@b.test>");
  t.match(talk.say("STARTTLS"), [/^220 /]);
  t.equal(talk.host.tls, 1);
  talk.connection.secured({ name: "TLS_X", standardName: "TLS_X", version: "TLSv1.3" }, false);
  t.match(talk.say("RCPT TO:<user1@example.test>"), [/^503 /]);
  t.match(talk.say("EHLO client.test"), [/^250-/]);
  t.notMatch(talk.host.replies[0], /STARTTLS/);
  t.equal(talk.connection.session.transmissionType, "ESMTPS");
  t.end();
});

t.test("a refused EHLO has an enhanced code, an accepted one has none", (t) => {
  const talk = begin();
  talk.connection.greet();
  t.match(talk.say("EHLO"), [/^501 5\.5\.4 /]);
  t.notMatch(talk.say("EHLO a")[0], /^250-2\./);
  t.end();
});

t.test("commands that are jokes or rights of others are not there", (t) => {
  const talk = begin();
  talk.connection.greet();
  talk.say("EHLO a");
  for (const line of ["AUTH PLAIN", "WIZ", "SHELL", "KILL", "XFORWARD NAME=x", "STARTTLS"]) {
    t.match(talk.say(line), [/^500 5\.5\.2 /], line);
  }
  t.match(talk.say("XCLIENT NAME=x"), [/^550 /]);
  t.end();
});
