/**
 * Random steps of many programs on a whole spool: mail programs that rewrite mailboxes, deliveries with and without
 * locks, hints, and everything else that files are for. Deterministic in the seed.
 */
import { between, type Random } from "../movers.ts";
import { deliveryOf, O_SYNC, type Recipient, type SpoolScene } from "./spool-scene.ts";

const BOXES = ["a", "b", "c", "d/a", "d/b"] as const;
const RDWR = 2;

/** What goes on beside: locks that are held. */
export class Held {
  readonly unlock = new Map<string, () => Promise<void>>();
}

export async function beginSteps(scene: SpoolScene): Promise<void> {
  await scene.makeDirectory("d");
}

export async function randomSpoolStep(
  scene: SpoolScene,
  held: Held,
  random: Random,
  number: number,
): Promise<void> {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const box = pick(BOXES);
  const kind = random();
  const length = random() < 0.2 ? between(random, 5000, 40_000) : between(random, 1, 2000);
  const text = mailOf(number, length);
  if (kind < 0.25) {
    const to = recipients(random);
    const copies = random() < 0.2;
    await scene.deliver(text, to, { copies });
    return;
  }
  if (kind < 0.31) return severalAtOnce(scene, random, text);
  if (kind < 0.38) return lockOrUnlock(scene, held, box);
  if (kind < 0.44) {
    const dotlock = `${box}.lock`;
    return scene.ino(dotlock) === 0 ? void (await scene.make(dotlock)) : scene.unlink(dotlock);
  }
  if (kind < 0.46) {
    held.unlock.clear();
    return scene.stepper.reopen();
  }
  if (kind < 0.49) {
    await scene.stepper.spool.store.reclaim({ now: true, deadPartMin: 0 });
    return;
  }
  if (scene.ino(box) === 0) {
    await scene.make(box);
    return;
  }
  const size = scene.size(box);
  const at = Math.floor(random() * (size + 1));
  if (kind < 0.56) await scene.append(box, text);
  else if (kind < 0.6) await scene.write(box, at, text, random() < 0.5 ? RDWR : RDWR | O_SYNC);
  else if (kind < 0.66) await expunge(scene, box, random);
  else if (kind < 0.71) await emptyAndWrite(scene, box, random);
  else if (kind < 0.76) await replace(scene, box, random);
  else if (kind < 0.79) await scene.change(box, { size: at });
  else if (kind < 0.81) await scene.allocate(box, random() < 0.5 ? 3 : 0x10, at, length);
  else if (kind < 0.83) await scene.setXattr(box, "user.a", text.slice(0, 50));
  else if (kind < 0.86) await scene.unlink(box);
  else if (kind < 0.88) await ignoringExisting(scene.link(box, `link-${number}`));
  else if (kind < 0.91) await sharedRange(scene, box, at, random);
  else if (kind < 0.93) await removedRange(scene, box, at, random);
  else await scene.sync(random() < 0.7 ? box : "d");
}

/** Lines of which each can be told from every other one. */
function mailOf(number: number, length: number): string {
  let text = `From a ${number}\n\n`;
  for (let k = 0; text.length < length; k++) text += `line ${k} of mail ${number * 7919}\n`;
  return text.slice(0, length);
}

function recipients(random: Random): Recipient[] {
  const chosen = BOXES.filter(() => random() < 0.5);
  const paths = chosen.length === 0 ? ["a"] : chosen;
  return paths.map((path) => (random() < 0.3 ? { path, own: `for ${path};` } : path));
}

/** Several sessions ask in one turn: each delivery is there whole or not at all, in some order. */
async function severalAtOnce(scene: SpoolScene, random: Random, text: string): Promise<void> {
  const given = [1, 2, 3].map((k) => ({ to: recipients(random), text: `${k}${text}` }));
  const deliver = async ({ to, text }: (typeof given)[0]): Promise<void> => {
    const session = scene.session();
    const body = [text, ...to.map((one) => (typeof one === "string" ? "" : one.own))];
    await session.ask(deliveryOf([{ bytes: text.length }], to), body);
    session.close();
  };
  const kind = { durable: true, inParts: true };
  await scene.stepper.step(async () => void (await Promise.all(given.map(deliver))), kind);
}

async function lockOrUnlock(scene: SpoolScene, held: Held, box: string): Promise<void> {
  const unlock = held.unlock.get(box);
  if (unlock !== undefined) {
    held.unlock.delete(box);
    await unlock();
  } else if (scene.ino(box) !== 0) {
    held.unlock.set(box, await scene.lock(box));
  }
}

/** The rest of the mailbox moves down, in pieces, and is cut off. */
async function expunge(scene: SpoolScene, box: string, random: Random): Promise<void> {
  const text = await scene.text(box);
  const from = Math.floor(random() * text.length);
  const at = Math.floor(random() * from);
  const piece = between(random, 200, 8000);
  for (let k = from; k < text.length; k += piece) {
    await scene.write(box, at + k - from, text.slice(k, k + piece));
  }
  await scene.change(box, { size: text.length - from + at });
  if (random() < 0.5) await scene.sync(box);
}

async function emptyAndWrite(scene: SpoolScene, box: string, random: Random): Promise<void> {
  const text = await scene.text(box);
  const ino = scene.ino(box);
  const handle = scene.open(box);
  await scene.change(box, { size: 0 });
  const piece = between(random, 500, 20_000);
  for (let k = 0; k < text.length; k += piece) {
    await scene.append(box, text.slice(k, Math.min(k + piece, text.length - 3)));
  }
  if (random() < 0.5) await scene.sync(box);
  await scene.close(ino, handle);
}

/** A new file takes the mailbox's name, or changes places with it. */
async function replace(scene: SpoolScene, box: string, random: Random): Promise<void> {
  if (scene.ino("new") === 0) await scene.make("new");
  await scene.append("new", (await scene.text(box)).slice(0, Math.floor(random() * 5000)));
  if (random() < 0.6) await scene.sync("new");
  await scene.rename("new", box, random() < 0.3 ? 2 : 0);
}

async function sharedRange(
  scene: SpoolScene,
  box: string,
  at: number,
  random: Random,
): Promise<void> {
  const length = Math.min(scene.size(box) - at, between(random, 1, 3000));
  if (length === 0) return;
  const from = { path: box, offset: at, length };
  await ignoringBusy(scene.request({ op: "share", from, to: { path: box } }));
}

async function removedRange(
  scene: SpoolScene,
  box: string,
  at: number,
  random: Random,
): Promise<void> {
  const length = Math.min(scene.size(box) - at, between(random, 1, 3000));
  if (length === 0) return;
  await ignoringBusy(scene.request({ op: "remove", path: box, offset: at, length }));
}

/** A lock that another program has is in the way. */
const ignoringBusy = (call: Promise<unknown>): Promise<void> => ignoring(call, "EBUSY");
const ignoringExisting = (call: Promise<unknown>): Promise<void> => ignoring(call, "EEXIST");

async function ignoring(call: Promise<unknown>, what: string): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error as Error).message.includes(what)) throw error;
  }
}
