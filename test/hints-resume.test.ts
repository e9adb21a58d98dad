/** Conversations that another process goes on with: what was taken in stays taken in. */
import t from "tap";
import {
  BODY_BYTES_MAX,
  REQUEST_BYTES_PER_USER_MAX,
  REQUESTS_WAITING_MAX,
} from "../fs/hints/limits.ts";
import type { HintSession } from "../fs/hints/session.ts";
import type { InheritedSession } from "../fs/takeover/inherited.ts";
import { ALICE, encode, Harness } from "./hints-harness.ts";

const statistics = encode({ op: "statistics" });
const WRITE = 99;

function left(stream: readonly Buffer[]): InheritedSession {
  return {
    handle: 5,
    opener: { ...ALICE, processId: ALICE.pid, groups: [] },
    tokens: new Map(),
    lastToken: 0,
    stream: [...stream],
    firstInStream: 0,
    next: 0,
    reply: undefined,
    bytesRead: 0,
    writes: new Map([[WRITE, stream.at(-1)!.length]]),
    lastWrite: WRITE,
    lastRead: undefined,
    replies: new Map(),
    intents: new Map(),
  };
}

t.test("of a write that was noted before it was cut, as much counts as is taken", async (t) => {
  const harness = await Harness.open();
  t.teardown(() => harness.close());
  const many = Buffer.concat(Array.from({ length: REQUESTS_WAITING_MAX + 3 }, () => statistics));
  const inherited = left([many]);
  harness.files.sessions.restore([inherited]);
  harness.hints.resume();
  const taken = REQUESTS_WAITING_MAX * statistics.length;
  t.same([...inherited.writes], [[WRITE, taken]]);
  await harness.hints.idle();
  harness.files.sessions.close(5);
});

t.test("bytes of requests that an earlier process had taken are within no limit", async (t) => {
  const harness = await Harness.open();
  t.teardown(() => harness.close());
  const line = `${JSON.stringify({ op: "write", bodyBytes: BODY_BYTES_MAX })}\n`;
  const body = Buffer.alloc(BODY_BYTES_MAX - 1);
  const others: HintSession[] = [];
  do {
    others.push(harness.session(ALICE));
    others.at(-1)!.write(Buffer.from(line), ALICE);
  } while (others.at(-1)!.write(body, ALICE) === body.length);
  t.equal(others.length, REQUEST_BYTES_PER_USER_MAX / BODY_BYTES_MAX, "no room is left");
  const big = encode({ op: "write" }, body);
  const inherited = left([big]);
  harness.files.sessions.restore([inherited]);
  harness.hints.resume();
  t.same([...inherited.writes], [[WRITE, big.length]]);
  await harness.hints.idle();
  const reply = harness.files.sessions.read(5, 1000, ALICE) as readonly Buffer[];
  t.match(Buffer.concat(reply).toString(), /"units":\["1"\]/);
  harness.files.sessions.close(5);
  for (const other of others) other.close();
});
