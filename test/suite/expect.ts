import { rejects } from "node:assert/strict";

/** The call fails with this errno. */
export async function refuses(call: Promise<unknown>, code: string): Promise<void> {
  await rejects(call, { code });
}

/** Whether a promise is still waiting after what is already queued has run. */
export async function waits(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  const first = await Promise.race([
    promise,
    new Promise((resolve) => setImmediate(resolve, pending)),
  ]);
  return first === pending;
}

/** Bytes that differ at every place, the same for the same seed. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
