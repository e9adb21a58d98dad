import t from "tap";
import { Counters } from "../server/metrics/counters.ts";
import { exposition } from "../server/metrics/exposition.ts";
import { merge, Totals } from "../server/metrics/totals.ts";

const stored = {
  recipients: 15,
  mailboxes: 14,
  logicalBytes: 60_000,
  storedBytes: 5_000,
  commitMs: 4,
};

function lines(page: string, name: string): string[] {
  return page.split("\n").filter((line) => line.startsWith(name));
}

t.test("a process that counted nothing since the last time has no snapshot", (t) => {
  const counters = new Counters("front");
  t.equal(counters.snapshot(), undefined);
  counters.setOpen("front", 1);
  t.ok(counters.snapshot());
  t.equal(counters.snapshot(), undefined);
  counters.setOpen("front", 1);
  t.equal(counters.snapshot(), undefined, "the same value is no change");
  counters.recipientRefused("unknownUser");
  t.ok(counters.snapshot());
  t.end();
});

t.test("a snapshot is plain data and does not change afterwards", (t) => {
  const counters = new Counters("worker");
  counters.message("stored", stored);
  const first = counters.snapshot()!;
  const travelled = JSON.parse(JSON.stringify(first)) as unknown;
  t.same(travelled, first);
  counters.message("stored", stored);
  counters.connectionEnded("quit");
  t.same(first, travelled);
  t.end();
});

t.test("the page has every counter, summed over the processes", async (t) => {
  const front = new Counters("front");
  const worker = new Counters("worker");
  front.connectionEnded("unknownUser");
  front.connectionEnded("quit");
  front.handOver("taken");
  front.recipientRefused("relayDenied");
  front.setQueue("handOver", 3);
  worker.connectionEnded("quit");
  worker.message("stored", stored);
  worker.message("stored", { ...stored, commitMs: 40_000 });
  worker.message("storeFull", undefined);
  worker.setPending(2, 90);
  const page = await exposition(merge([front.snapshot()!, worker.snapshot()!]));
  t.same(lines(page, "onespool_connections_total"), [
    'onespool_connections_total{end="unknownUser"} 1',
    'onespool_connections_total{end="quit"} 2',
  ]);
  t.same(lines(page, "onespool_hand_overs_total"), ['onespool_hand_overs_total{result="taken"} 1']);
  t.same(lines(page, "onespool_messages_total"), [
    'onespool_messages_total{result="stored"} 2',
    'onespool_messages_total{result="storeFull"} 1',
  ]);
  t.same(lines(page, "onespool_recipients_total"), ["onespool_recipients_total 30"]);
  t.same(lines(page, "onespool_deliveries_total"), ["onespool_deliveries_total 28"]);
  t.same(lines(page, "onespool_logical_bytes_total"), ["onespool_logical_bytes_total 120000"]);
  t.same(lines(page, "onespool_stored_bytes_total"), ["onespool_stored_bytes_total 10000"]);
  t.same(lines(page, "onespool_pending"), [
    "onespool_pending_deliveries 2",
    "onespool_pending_oldest_seconds 90",
  ]);
  const commits = lines(page, "onespool_commit_seconds");
  t.match(commits[1], 'le="0.002"} 0');
  t.match(commits[2], 'le="0.005"} 1');
  t.match(commits.at(-4), 'le="30"} 1');
  t.match(commits.at(-3), 'le="+Inf"} 2');
  t.equal(commits.at(-2), "onespool_commit_seconds_sum 40.004");
  t.equal(commits.at(-1), "onespool_commit_seconds_count 2");
  t.match(page, "# TYPE onespool_commit_seconds histogram");
  t.match(page, "# TYPE onespool_queue gauge");
});

t.test("numbers without a label are on the page before the first message", async (t) => {
  const page = await exposition(merge([]));
  t.match(page, "\nonespool_recipients_total 0\n");
  t.match(page, "\nonespool_commit_seconds_count 0\n");
  t.notMatch(page, "onespool_connections_total{");
});

t.test("what a dead process counted stays, what it showed goes", (t) => {
  const totals = new Totals<string>();
  const first = new Counters("worker");
  first.message("stored", stored);
  first.setOpen("worker", 7);
  totals.update("a", first.snapshot());
  totals.update("a", first.snapshot());
  t.same(totals.sum().gauges.onespool_connections_open, { worker: 7 });
  totals.retire("a");
  totals.retire("a");
  t.equal(totals.sum().gauges.onespool_connections_open, undefined);
  t.same(totals.sum().counters.onespool_messages_total, { stored: 1 });
  const second = new Counters("worker");
  second.message("stored", stored);
  totals.update("a", second.snapshot());
  t.same(totals.sum().counters.onespool_messages_total, { stored: 2 });
  t.equal(
    totals.sum().commits.buckets.reduce((sum, count) => sum + count),
    2,
  );
  totals.retire("b");
  t.same(totals.sum().counters.onespool_messages_total, { stored: 2 });
  t.end();
});

t.test("a label that JavaScript knows otherwise is a label like any other", (t) => {
  const counters = new Counters("front");
  counters.connectionEnded("constructor");
  counters.connectionEnded("toString");
  const sum = merge([counters.snapshot()!]);
  t.same(Object.entries(sum.counters.onespool_connections_total!), [
    ["constructor", 1],
    ["toString", 1],
  ]);
  t.end();
});
