/** What a mailbox of the simulated site has to hold: messages as numbers, from which their bytes can be made again. */
import { Random } from "../../reclaim-model.ts";

const POOL_BYTES = 4 << 20;
/** Room for flags in each message, as a mail server leaves it. */
export const FLAGS_LENGTH = 16;

const pool = Buffer.allocUnsafe(POOL_BYTES);
{
  const random = new Random(77);
  for (let at = 0; at < POOL_BYTES; at++) pool[at] = 32 + random.below(95);
}

export interface Message {
  readonly id: number;
  readonly length: number;
  flags: string;
}

export class Mailbox {
  readonly name: string;
  /** What a program sees. */
  messages: Message[] = [];
  /** Delivered under a lock, which is still held. */
  pending: Message[] = [];
  /** Somebody is at work in it, perhaps with a lock: nobody else begins. */
  isBusy = false;
  isLocked = false;

  constructor(name: string) {
    this.name = name;
  }

  delivered(message: Message): void {
    (this.isLocked ? this.pending : this.messages).push({ ...message });
  }

  unlocked(): void {
    this.isLocked = false;
    this.messages.push(...this.pending.splice(0));
  }

  bytes(messages: readonly Message[] = this.messages): Buffer {
    return Buffer.concat(
      messages.flatMap((message) => [privateBytes(this.name, message), sharedBytes(message)]),
    );
  }
}

export function privateBytes(name: string, { id }: Message): Buffer {
  return Buffer.from(`From sender${id}\nDelivered-To: ${name}\n`);
}

export function sharedBytes({ id, length, flags }: Message): Buffer {
  const start = (id * 7919) % (POOL_BYTES - length);
  const head = `Status: ${flags.padEnd(FLAGS_LENGTH)}\nSubject: ${id}\n\n`;
  return Buffer.concat([Buffer.from(head), pool.subarray(start, start + length), NEWLINE]);
}

const NEWLINE = Buffer.from("\n");

/** Where the flags of a message stand in it. */
export function flagsAt(name: string, message: Message): number {
  return privateBytes(name, message).length + "Status: ".length;
}

export function messageLength(name: string, message: Message): number {
  const head = `Status: ${" ".repeat(FLAGS_LENGTH)}\nSubject: ${message.id}\n\n`;
  return privateBytes(name, message).length + head.length + message.length + 1;
}
