import fc from "fast-check";
import t from "tap";
import { LineGate, type Command } from "../server/smtp/line-gate.ts";

function all(gate: LineGate): string[] {
  const found: string[] = [];
  for (;;) {
    const command = gate.next();
    if (command === undefined) return found;
    found.push(shown(command));
  }
}

function shown(command: Command): string {
  return command.kind === "line" ? `line ${command.line.toString("latin1")}` : command.kind;
}

t.test("a line is given without its CRLF, when it is whole", (t) => {
  const gate = new LineGate(100);
  gate.push(Buffer.from("NO"));
  t.strictSame(all(gate), []);
  gate.push(Buffer.from("OP\r"));
  t.strictSame(all(gate), []);
  gate.push(Buffer.from("\nQUIT\r\nrest"));
  t.strictSame(all(gate), ["line NOOP", "line QUIT"]);
  t.equal(gate.takeRest().toString(), "rest");
  t.equal(gate.length, 0);
  t.end();
});

t.test("a CR or LF of its own makes a line a bare newline", (t) => {
  const gate = new LineGate(100);
  gate.push(Buffer.from("NOOP\nRSET\r\nHE\rLO x\r\n\n\r\nQUIT\r\n"));
  t.strictSame(all(gate), [
    "bareNewline",
    "line RSET",
    "bareNewline",
    "bareNewline",
    "line ",
    "line QUIT",
  ]);
  t.end();
});

t.test("a line of just the allowed length is given, a longer one told once", (t) => {
  const gate = new LineGate(4);
  gate.push(Buffer.from("NOOP\r\nNOOP5\r\nQUIT\r\n"));
  t.strictSame(all(gate), ["line NOOP", "tooLong", "line QUIT"]);
  t.end();
});

t.test("a line that does not end keeps no memory", (t) => {
  const gate = new LineGate(4);
  const found: string[] = [];
  for (let count = 0; count < 100; count++) {
    gate.push(Buffer.alloc(1000, "x"));
    found.push(...all(gate));
    t.ok(gate.length <= 5);
  }
  gate.push(Buffer.from("\r\nQUIT\r\n"));
  found.push(...all(gate));
  t.strictSame(found, ["tooLong", "line QUIT"]);
  t.end();
});

t.test("commands are the same wherever the bytes are cut", (t) => {
  const token = fc.constantFrom("\r", "\n", "\r\n", "A", "BCDEF", " ");
  fc.assert(
    fc.property(fc.array(token, { maxLength: 30 }), fc.nat({ max: 60 }), (tokens, place) => {
      const text = tokens.join("");
      const cut = place % (text.length + 1);
      const whole = new LineGate(6);
      whole.push(Buffer.from(text));
      const cutUp = new LineGate(6);
      cutUp.push(Buffer.from(text.slice(0, cut)));
      const found = all(cutUp);
      cutUp.push(Buffer.from(text.slice(cut)));
      found.push(...all(cutUp));
      t.strictSame(found, all(whole), JSON.stringify([text, cut]));
    }),
    { numRuns: 1000 },
  );
  t.end();
});
