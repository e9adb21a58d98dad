/**
 * kill -9 of spool, front, worker and supervisor at random while mail comes in by SMTP and LMTP, programs write files of
 * their own and IMAP sessions change mailboxes. After each kill service comes back by itself, and what was answered is
 * there: every message with a 250 once in each of its mailboxes, by hash; every write and rename that returned; every
 * UID, flag and deletion that an IMAP session was told.
 *
 * A mailbox of which an IMAP session was just rewriting its part when its mount was replaced is what Dovecot leaves when it
 * dies itself (docs/LOCKING.md, "When somebody dies in the middle"). Such mailboxes are counted, what is wrong in them
 * is counted too, and they begin anew. No other mailbox is excused.
 */
import t from "tap";
import { randomFrom } from "./movers.ts";
import type { TestContext } from "./suite/run.ts";
import { Rounds } from "./system/kill-rounds.ts";
import { KillSite } from "./system/kill-site.ts";
import { missingMailSite } from "./system/mail-site.ts";

const isLong = process.env["ONESPOOL_LONG"] === "1";
const ROUNDS = Number(process.env["ROUNDS"] ?? (isLong ? 200 : 10));
/** On a machine that has much else to do there are fewer in this time. */
const ROUNDS_MIN = 5;
const LASTS_MS_MAX = ROUNDS > 10 ? Infinity : 50_000;
const TIMEOUT_MS = 240_000 + ROUNDS * 60_000;
t.setTimeout(TIMEOUT_MS);

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}: SEED=${seed} ROUNDS=${ROUNDS} node dist/test/kill-rounds.test.js`);

/** In so many there is enough to clean. */
const CLEANED_ROUNDS = 50;
/** Of one round; more say nothing new. */
const PROBLEMS_MAX = 20;

const reason = missingMailSite();
const options = reason === undefined ? { timeout: TIMEOUT_MS } : { skip: reason };

await t.test("kill -9 at random under full load", options, async (t) => {
  const problems: string[] = [];
  const site = await KillSite.start(t, problems);
  const rounds = new Rounds(site, problems);
  const end = Date.now() + LASTS_MS_MAX;
  for (let round = 0; round < ROUNDS && problems.length === 0; round++) {
    if (round >= ROUNDS_MIN && Date.now() > end) break;
    const told = await rounds.run(round, randomFrom(seed + round * 7_919)).catch((error: Error) => {
      throw new Error(`round ${round}, ${rounds.killed.join()}: ${error.message}`, {
        cause: error,
      });
    });
    const word = `round ${round}: ${told}`;
    if (process.env["ROUNDS"] !== undefined) t.comment(word);
    t.strictSame(problems.slice(0, PROBLEMS_MAX), [], word);
  }
  t.comment(rounds.summary());
  t.ok(rounds.acknowledged > 0 && site.writers.done > 0, "there was work to lose");
  const removed = site.segmentsRemoved();
  t.comment(`${removed} segments were cleaned and removed meanwhile`);
  if (ROUNDS >= CLEANED_ROUNDS) t.ok(removed > 0, "segments were cleaned meanwhile");
  await finish(t, site);
});

async function finish(t: TestContext, site: KillSite): Promise<void> {
  await site.writers.end();
  await site.program.end();
  await site.dovecot.stop();
  t.equal(await site.server.stop(), 0, "the server ends well");
  t.strictSame(await site.remains(), [], "nothing is left of all of its processes");
  const { status, report } = site.fsck();
  t.equal(status, 0, `the store is sound ${status === 0 ? "" : report}`);
}
