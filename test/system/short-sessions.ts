/** Very many short sessions with a mail server, of each kind that comes from the network, from as many addresses. */
import { connect } from "node:net";

/** Frees a test that hangs. */
const SESSION_MS_MAX = 30_000;

type Step = readonly [text: string, reply: RegExp];

interface Kind {
  readonly steps: readonly Step[];
  /** How it ends: by the server after QUIT, by closing without a word, or by a reset. */
  readonly end: "quit" | "close" | "reset";
}

const to = (name: string): Step => [`RCPT TO:<${name}@example.test>`, /^250 /m];
const ehlo: Step = ["EHLO client.test", /^250 /m];
const mail: Step = ["MAIL FROM:<ann@example.org>", /^250 /m];
const unknown: Step = ["RCPT TO:<nobody-here@example.test>", /^550 /m];
const quit: Step = ["QUIT", /^221 /m];
const data: Step = ["DATA", /^354 /m];
const TEXT = "Subject: x\r\n\r\ntext\r\n.";

/** They end before anybody is trusted: most of what a server sees. */
const untrusted: readonly Kind[] = [
  { steps: [ehlo, mail, unknown, quit], end: "quit" },
  { steps: [], end: "close" },
  { steps: [ehlo], end: "close" },
  { steps: [ehlo, mail], end: "reset" },
  { steps: [["GET / HTTP/1.1", /^(421|5\d\d) /m]], end: "close" },
  { steps: [["NOSUCH", /^5\d\d /m], ehlo, ["DATA", /^503 /m], quit], end: "quit" },
];

/** Those that a worker gets. */
const trusted: readonly Kind[] = [
  { steps: [ehlo, mail, to("user1"), ["RSET", /^250 /m], quit], end: "quit" },
  { steps: [ehlo, mail, to("user2"), data, ["Subject: half", /^/]], end: "reset" },
  {
    steps: [ehlo, mail, to("user3"), to("user4"), data, [TEXT, /^250 /m], quit],
    end: "quit",
  },
];

/** Every seventh comes to a worker. */
export function sessionKind(number: number): Kind {
  if (number % 7 === 0) return trusted[(number / 7) % trusted.length]!;
  return untrusted[number % untrusted.length]!;
}

/** Rejects when a reply is not the expected one, or does not come. */
export function shortSession(port: number, localAddress: string, kind: Kind): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
    let text = "";
    let expected = /^220 /m;
    let next = 0;
    const late = setTimeout(() => fail("no reply"), SESSION_MS_MAX);
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(`${why} at step ${next} (${kind.steps[next - 1]?.[0]}): ${text}`));
    };
    const leave = (): void => {
      if (kind.end === "reset") socket.resetAndDestroy();
      else if (kind.end === "close") socket.destroy();
    };
    const go = (): void => {
      while (expected.test(text)) {
        text = "";
        const step = kind.steps[next++];
        if (step === undefined) {
          // After QUIT the server ends it.
          expected = /^never$/;
          leave();
          return;
        }
        socket.write(`${step[0]}\r\n`);
        expected = step[1];
      }
    };
    socket.setEncoding("latin1").on("data", (bytes: string) => {
      text += bytes;
      go();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(late);
      if (next > kind.steps.length) resolve();
      else fail("the connection ended");
    });
  });
}
