import t from "tap";
import { Counters } from "../server/metrics/counters.ts";
import type { Log } from "../server/log/log.ts";
import { PendingWatch } from "../server/supervisor/pending-watch.ts";

function logTo(warnings: unknown[]): Log {
  const nothing = (): void => undefined;
  return {
    debug: nothing,
    info: nothing,
    warn: (text, fields) => warnings.push({ text, ...fields }),
    error: nothing,
    connection: nothing,
    message: nothing,
    configure: nothing,
    reopen: nothing,
    flush: nothing,
  };
}

t.test("a delivery that has waited for more than an hour is warned of, once", async (t) => {
  const warnings: unknown[] = [];
  const counters = new Counters("supervisor");
  let oldestSeconds = 3_600;
  const look = () => Promise.resolve({ pending: 2, oldestSeconds });
  const watch = new PendingWatch(look, counters, logTo(warnings));
  t.teardown(() => watch.close());
  await watch.look();
  t.strictSame(warnings, []);
  t.match(counters.snapshot()?.gauges, {
    onespool_pending_deliveries: { "": 2 },
    onespool_pending_oldest_seconds: { "": 3_600 },
  });
  oldestSeconds = 3_601;
  await watch.look();
  await watch.look();
  t.match(warnings, [{ pending: 2, oldestSeconds: 3_601 }]);
  t.equal(warnings.length, 1);
  oldestSeconds = 0;
  await watch.look();
  oldestSeconds = 4_000;
  await watch.look();
  t.equal(warnings.length, 2, "another one begins anew");
});
