import t from "tap";
import { OUTSIDE_OF_HEAP_MIB_MAX, spentBy } from "../server/worker/spent.ts";

const MiB = 1024 * 1024;
const workers = { count: 1, memoryMiBMax: 512, messagesMax: 100, connectionsMax: 10 };
const residentMax = (512 + OUTSIDE_OF_HEAP_MIB_MAX) * MiB;

t.test("a worker is spent with its last message, not before", (t) => {
  t.equal(spentBy({ messages: 99, residentBytes: 0 }, workers), undefined);
  t.equal(spentBy({ messages: 100, residentBytes: 0 }, workers), "messages");
  t.end();
});

t.test("a worker is spent when heap and all else are more than they may be together", (t) => {
  t.equal(spentBy({ messages: 0, residentBytes: residentMax }, workers), undefined);
  t.equal(spentBy({ messages: 0, residentBytes: residentMax + 1 }, workers), "memory");
  t.end();
});
