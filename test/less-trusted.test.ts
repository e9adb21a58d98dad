/** What a process that talks with everybody says to one that does not is looked at before it is believed. */
import { once } from "node:events";
import { connect } from "node:net";
import t from "tap";
import { HAND_OVER_VERSION } from "../server/hand-over/record.ts";
import { Counters } from "../server/metrics/counters.ts";
import { readSnapshot } from "../server/metrics/read-snapshot.ts";
import { Totals } from "../server/metrics/totals.ts";
import { readFrontMessage } from "../server/supervisor/front-messages.ts";
import { listenForRelays } from "../server/worker/relay-listener.ts";
import { until } from "./supervised.ts";

function snapshot(): Record<string, Record<string, unknown>> {
  const counters = new Counters("front");
  counters.connectionEnded("quit");
  counters.message("stored", {
    recipients: 2,
    mailboxes: 1,
    logicalBytes: 10,
    storedBytes: 5,
    commitMs: 3,
  });
  counters.setOpen("front", 5);
  return JSON.parse(JSON.stringify(counters.snapshot()));
}

t.test("a snapshot is what it was after a channel", (t) => {
  const told = snapshot();
  t.strictSame(readSnapshot(told), told);
  t.end();
});

t.test("names that are not ours are left out of a snapshot, and reach no prototype", (t) => {
  const { counters, gauges, commits } = snapshot();
  const told = JSON.stringify({ counters, gauges, commits })
    .replace('"counters":{', '"counters":{"__proto__":{"polluted":1},"constructor":{"polluted":1},')
    .replace('"quit":1', '"quit":1,"__proto__":{"polluted":1}');
  t.match(told, "__proto__");
  const totals = new Totals<string>();
  totals.update("front", readSnapshot(JSON.parse(told)));
  totals.retire("front");
  t.equal(totals.sum().counters.onespool_connections_total?.["quit"], 1);
  t.notOk("polluted" in {}, "Object.prototype is what it was");
  t.notOk("polluted" in Object, "Object too");
  t.end();
});

t.test("what is no snapshot is not taken at all", (t) => {
  const { counters, gauges, commits } = snapshot();
  const many = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`label${i}`, 1]));
  for (const wrong of [
    undefined,
    null,
    7,
    {},
    { counters, gauges },
    { counters: { onespool_messages_total: { stored: "7" } }, gauges, commits },
    { counters: { onespool_messages_total: { stored: -1 } }, gauges, commits },
    { counters: { onespool_messages_total: { stored: null } }, gauges, commits },
    { counters: { onespool_messages_total: many }, gauges, commits },
    { counters: { onespool_messages_total: { ["x".repeat(65)]: 1 } }, gauges, commits },
    { counters, gauges, commits: { buckets: [1], seconds: 1 } },
    { counters, gauges, commits: { ...commits, seconds: "1" } },
  ]) {
    t.equal(readSnapshot(wrong), undefined, JSON.stringify(wrong)?.slice(0, 80));
  }
  t.end();
});

t.test("the supervisor knows the messages of the front, and no others", (t) => {
  const listening = [{ protocol: "smtp", address: "::", port: 25 }];
  for (const message of [
    { type: "ready", listening },
    { type: "failed", message: "no" },
    { type: "reloaded" },
    { type: "reloaded", problem: "aliases" },
    { type: "counters", counters: snapshot() },
  ]) {
    t.match(readFrontMessage(message), message);
  }
  for (const wrong of [
    undefined,
    null,
    "ready",
    { type: "retiring" },
    { type: "__proto__" },
    { type: "ready" },
    { type: "ready", listening: [{ protocol: "http", address: "::", port: 25 }] },
    { type: "ready", listening: [{ protocol: "smtp", address: "\u001b[2J", port: 25 }] },
    { type: "ready", listening: [{ protocol: "smtp", address: "::", port: 1e9 }] },
    { type: "failed", message: { toString: 1 } },
    { type: "reloaded", problem: 7 },
  ]) {
    t.equal(readFrontMessage(wrong), undefined, JSON.stringify(wrong));
  }
  t.end();
});

t.test("a worker closes a relay that does not begin with a record, and goes on", async (t) => {
  const taken: string[] = [];
  const path = await listenForRelays((record, socket) => {
    taken.push(record.type);
    socket.destroy();
  });
  const say = async (line: string): Promise<void> => {
    const socket = connect(path);
    socket.on("error", () => undefined);
    const closed = once(socket.resume(), "close");
    socket.write(`${line}\n`);
    await closed;
  };
  for (const line of ["EHLO you", "", "null", "7", "{}", '{"type":"session"}', "[]"])
    await say(line);
  t.strictSame(taken, []);
  await say(JSON.stringify({ type: "session", version: HAND_OVER_VERSION }));
  await until("the record is taken", () => taken.length === 1);
  t.strictSame(taken, ["session"]);
});
