/**
 * Memory of the processes of `onespool serve` over thousands of short sessions from as many addresses, good and bad ones:
 * none of it stays. ONESPOOL_LONG=1 makes it ten times as many.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { eventually } from "./system/harness.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import { sessionKind, shortSession } from "./system/short-sessions.ts";
import type { Memory } from "./system/two-days/memory.ts";
import { growth } from "./system/two-days/memory.ts";

const isLong = process.env["ONESPOOL_LONG"] === "1";
t.setTimeout(isLong ? 1_200_000 : 240_000);
const skip = missingForServer();

const ROUNDS = 9;
const SESSIONS_PER_ROUND = isLong ? 12_000 : 1_200;
const AT_ONCE = 15;
/** From the first three rounds behind the warm-up to the last three. */
const SESSIONS_BETWEEN = (ROUNDS - 4) * SESSIONS_PER_ROUND;
/** What is kept of a session is a number or an address at least, in a Map: 60 bytes and more. */
const BYTES_PER_SESSION_MAX = 20;
/** What V8 notes about code, and buffers of streams: 90 kB were seen. */
const NOISE_MAX = 150_000;

const teller = fileURLToPath(new URL("./system/memory-teller.js", import.meta.url));

async function memoryOf(directory: string, pid: number): Promise<Memory> {
  const path = join(directory, `memory-${pid}`);
  rmSync(path, { force: true });
  process.kill(pid, "SIGUSR2");
  await eventually("its memory is told", async () => existsSync(path));
  return JSON.parse(readFileSync(path, "utf8")) as Memory;
}

await t.test("no memory of a session stays", skip === undefined ? {} : { skip }, async (t) => {
  const server = await MailServer.start(t, {
    tables: { workers: { count: 1 }, log: { level: "error" } },
    environment: { NODE_OPTIONS: `--import=${teller}` },
    hasOwnTemporary: true,
  });
  const { front, workers } = server.processes();
  const processes = { front, worker: workers[0]!, supervisor: server.pid };
  const looks = { front: [], worker: [], supervisor: [] } as Record<string, Memory[]>;
  let session = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const end = session + SESSIONS_PER_ROUND;
    const client = async (): Promise<void> => {
      while (session < end) {
        const number = session++;
        const address = `127.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
        await shortSession(server.port("smtp"), address, sessionKind(number));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    for (const [name, pid] of Object.entries(processes)) {
      looks[name]!.push(await memoryOf(server.path("tmp"), pid));
    }
  }
  t.strictSame(server.processes().workers, workers, "none was replaced");
  for (const [name, all] of Object.entries(looks)) {
    const { heap, external } = growth(all.slice(1, 4), all.slice(-3));
    const shown = all.map(
      (look) => `${(look.heap / 1e6).toFixed(2)}+${(look.external / 1e6).toFixed(2)}`,
    );
    t.comment(
      `${name}: heap and buffers after each ${SESSIONS_PER_ROUND} sessions: ${shown.join(" ")} MB`,
    );
    const max = NOISE_MAX + BYTES_PER_SESSION_MAX * SESSIONS_BETWEEN;
    t.ok(heap <= max, `${name}: the heap grew by ${heap} bytes, at most ${max} may be noise`);
    t.ok(
      external <= max,
      `${name}: buffers grew by ${external} bytes, at most ${max} may be noise`,
    );
  }
});
