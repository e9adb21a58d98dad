/**
 * kill -9 of the server under load. The programs that make the load keep what they were answered outside
 * of the mount; after each kill everything answered is there and nothing is half there. That also holds
 * for what was answered without fsync: only a power cut may undo that.
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import t from "tap";
import type { Program } from "./suite/program.ts";
import type { TestContext } from "./suite/run.ts";
import { Harness, needs } from "./system/harness.ts";
import { bindings } from "./system/mount.ts";
import { runScript } from "./system/scripts.ts";

const timeout = 300_000;
t.setTimeout(2 * timeout);

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/kill.test.js kills after the same loads`);

const boxes = ["box-0", "box-1", "box-2", "box-3", "box-4"];
const kinds = ["deliver", "deliver", "append", "append-durable", "rename", "rename"] as const;

interface Manifest<Change> {
  readonly done: readonly Change[];
  readonly doing: Change | null;
}
/** Name, mailboxes, whole text. */
type Delivery = readonly [string, readonly string[], string];
type NameChange = readonly ["create" | "rename" | "unlink", string, string?];

for (const binding of bindings) {
  await t.test(binding, needs(binding, timeout), async (t) => {
    const harness = await Harness.start(t, { binding });
    const keeper = harness.program();
    for (const box of boxes) await keeper.writeFile(harness.path(box), "");
    await keeper.end();
    const delivered: Delivery[] = [];
    for (let round = 0; round < 4; round++) {
      await t.test(`kill ${round}`, (t) => killUnderLoad(t, harness, round, delivered));
    }
    await t.test("a clean restart keeps it all", async (t) => {
      await harness.mount.remount();
      await checkMailboxes(harness.program(), harness, delivered, []);
      t.pass();
    });
  });
}

async function killUnderLoad(
  t: TestContext,
  harness: Harness,
  round: number,
  delivered: Delivery[],
): Promise<void> {
  const words = kinds.map((kind, i) => `${kind}-${round}-${i}`);
  // Somewhere between 100 and 1,000 changes into the load.
  const dotsMax = 10 + ((seed + round * 7919) % 90);
  const dots = kinds.map(() => 0);
  let killing: Promise<void> | undefined;
  const scripts = kinds.map((kind, i) =>
    runScript("load.py", [kind, harness.mount.mountpoint, words[i]!], (text) => {
      dots[i]! += text.split(".").length - 1;
      const sum = dots.reduce((sum, count) => sum + count, 0);
      if (sum >= dotsMax && !dots.includes(0)) killing ??= harness.mount.kill();
    }),
  );
  t.teardown(() => scripts.map(({ child }) => child.kill("SIGKILL")));
  const ends = await Promise.all(scripts.map(({ ended }) => ended));
  await killing;
  equal(ends.map(({ errors }) => errors).join(""), "");
  const manifests = ends.map(({ output }) => JSON.parse(output.split("\n").at(-2)!) as unknown);

  await harness.mount.serve();
  const program = harness.program();
  const underWay: Delivery[] = [];
  for (const [i, kind] of kinds.entries()) {
    const word = words[i]!;
    if (kind === "deliver") {
      const { done, doing } = manifests[i] as Manifest<Delivery>;
      delivered.push(...done);
      if (doing !== null) underWay.push(doing);
    } else if (kind === "rename") {
      await checkNames(program, harness, word, manifests[i] as Manifest<NameChange>);
    } else {
      await checkAppended(program, harness, word, manifests[i] as Manifest<string>);
    }
  }
  const shown = await checkMailboxes(program, harness, delivered, underWay);
  delivered.push(...shown);
  await program.end();
  t.pass();
}

/** Answers with the deliveries that were not answered and are there all the same, in every mailbox. */
async function checkMailboxes(
  program: Program,
  harness: Harness,
  delivered: readonly Delivery[],
  underWay: readonly Delivery[],
): Promise<Delivery[]> {
  const found = new Map<string, string[]>();
  for (const box of boxes) {
    const text = await program.text(harness.path(box));
    const messages = text.split("\n").map((line) => `${line}\n`);
    equal(messages.pop(), "\n", "a mailbox ends with a whole message");
    found.set(box, messages);
  }
  const shown = underWay.filter(([, to, text]) => found.get(to[0]!)!.includes(text));
  for (const box of boxes) {
    const expected = [...delivered, ...shown]
      .filter(([, to]) => to.includes(box))
      .map(([, , text]) => text);
    deepEqual([...found.get(box)!].sort(), expected.sort(), box);
  }
  return shown;
}

async function checkAppended(
  program: Program,
  harness: Harness,
  word: string,
  { done, doing }: Manifest<string>,
): Promise<void> {
  const text = await program.text(harness.path(word));
  const answered = done.join("");
  ok([answered, answered + (doing ?? "")].includes(text), `${word}: not what was answered`);
}

async function checkNames(
  program: Program,
  harness: Harness,
  word: string,
  { done, doing }: Manifest<NameChange>,
): Promise<void> {
  const before = new Map<string, string>();
  for (const change of done) applyName(before, change);
  const names = (await program.list(harness.mount.mountpoint)).filter((name) =>
    name.startsWith(`${word}-`),
  );
  const found: [string, string][] = [];
  for (const name of names) found.push([name, await program.text(harness.path(name))]);
  const states = [sorted(before)];
  if (doing?.[0] === "create") {
    // Two calls: the file can be there and still be empty.
    states.push(sorted(new Map(before).set(doing[1], "")));
  }
  if (doing !== null) {
    applyName(before, doing);
    states.push(sorted(before));
  }
  ok(
    states.some((state) => JSON.stringify(state) === JSON.stringify(found)),
    `${word}: found ${JSON.stringify(found.map(([name, text]) => [name, text.slice(0, 40)]))}`,
  );
}

function applyName(names: Map<string, string>, [call, name, other = ""]: NameChange): void {
  if (call === "create") names.set(name, other);
  else if (call === "unlink") names.delete(name);
  else {
    names.set(other, names.get(name)!);
    names.delete(name);
  }
}

function sorted(names: ReadonlyMap<string, string>): [string, string][] {
  return [...names].sort(([a], [b]) => (a < b ? -1 : 1));
}
