import fc from "fast-check";
import t from "tap";
import { DataReader } from "../server/smtp/data-reader.ts";

interface Read {
  readonly content: string;
  readonly rest: string | undefined;
  readonly hasBareNewline: boolean;
  readonly longestLineBytes: number;
}

/** `rest` is undefined when the end has not come. */
function read(pieces: readonly string[]): Read {
  const reader = new DataReader();
  let content = "";
  let rest: string | undefined;
  for (const piece of pieces) {
    if (rest !== undefined) {
      rest += piece;
      continue;
    }
    const bytes = Buffer.from(piece, "latin1");
    const { content: part, consumed, isEnd } = reader.read(bytes);
    content += part.toString("latin1");
    if (isEnd) rest = bytes.toString("latin1", consumed);
  }
  const { hasBareNewline, longestLineBytes } = reader;
  return { content, rest, hasBareNewline, longestLineBytes };
}

/** Says the same as the reader, of the whole text at once. */
function model(text: string): { content: string; rest: string | undefined; isBare: boolean } {
  const end = `\r\n${text}`.indexOf("\r\n.\r\n");
  const data = end === -1 ? text : text.slice(0, end);
  const rest = end === -1 ? undefined : text.slice(end + 3);
  // The last line of unfinished data is left out by the test.
  let content = "";
  let isBare = false;
  let isAfterCrlf = true;
  let line = "";
  for (let at = 0; at < data.length;) {
    const newline = /^(?:\r+\n?|\n)/.exec(data.slice(at))?.[0];
    if (newline === undefined) {
      line += data[at++];
      continue;
    }
    const isStuffed = isAfterCrlf && line.startsWith(".") && line !== ".";
    content += `${isStuffed ? line.slice(1) : line}\n`;
    isBare ||= newline !== "\r\n";
    isAfterCrlf = newline.endsWith("\r\n");
    line = "";
    at += newline.length;
  }
  return { content, rest, isBare };
}

t.test("CRLF.CRLF ends the data, and what is behind it is not touched", (t) => {
  const { content, rest } = read(["one\r\ntwo\r\n.\r\nMAIL FROM:<>\r\n"]);
  t.equal(content, "one\ntwo\n");
  t.equal(rest, "MAIL FROM:<>\r\n");
  t.end();
});

t.test("data may be empty", (t) => {
  t.strictSame(read([".\r\n"]), {
    content: "",
    rest: "",
    hasBareNewline: false,
    longestLineBytes: 0,
  });
  t.end();
});

t.test("a dot before other text is removed, a dot alone is the end only between CRLFs", (t) => {
  t.equal(read(["..\r\n.x\r\n...y\r\n.\r\n"]).content, ".\nx\n..y\n");
  for (const end of ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r.\r\n", "\r\n.\r", "\n.\r"]) {
    const { content, rest, hasBareNewline } = read([`a${end}b\r\n.\r\n`]);
    t.equal(rest, "", JSON.stringify(end));
    t.equal(content, "a\n.\nb\n", JSON.stringify(end));
    t.equal(hasBareNewline, true);
  }
  t.end();
});

t.test("a NUL is a byte as any other", (t) => {
  t.equal(read(["a\r\n\0.\r\nb\r\n.\r\n"]).content, "a\n\0.\nb\n");
  t.end();
});

t.test("the longest line is told without its line end", (t) => {
  t.equal(read(["ab\r\nabcdef\r\nabc\r\n.\r\n"]).longestLineBytes, 6);
  t.equal(read(["ab\r\nabcdef"]).longestLineBytes, 6);
  t.end();
});

t.test("the reader says what a model says, wherever the data is cut", (t) => {
  const token = fc.constantFrom("\r", "\n", "\r\n", ".", "a", "bc", "\0");
  const texts = fc.array(token, { maxLength: 40 }).map((tokens) => tokens.join(""));
  fc.assert(
    fc.property(texts, fc.array(fc.nat({ max: 80 }), { maxLength: 6 }), (text, places) => {
      const whole = `${text}\r\n.\r\nrest`;
      const cuts = [...new Set(places.map((place) => place % (whole.length + 1)))];
      cuts.sort((a, b) => a - b);
      const edges = [0, ...cuts, whole.length];
      const pieces = edges.slice(1).map((edge, index) => whole.slice(edges[index], edge));
      const found = read(pieces);
      const expected = model(whole);
      t.strictSame(found.content, expected.content, JSON.stringify(pieces));
      t.strictSame(found.rest, expected.rest);
      t.strictSame(found.hasBareNewline, expected.isBare);
    }),
    { numRuns: 1000 },
  );
  t.end();
});
