/** How many connections each client has open, those that workers have included. */
import { clientKey } from "./client-key.ts";

export class Clients {
  readonly #open = new Map<string, number>();

  /** Returns how many it has with this one. */
  add(address: string): number {
    const key = clientKey(address);
    const open = (this.#open.get(key) ?? 0) + 1;
    this.#open.set(key, open);
    return open;
  }

  remove(address: string): void {
    const key = clientKey(address);
    const open = this.#open.get(key);
    if (open === undefined) return;
    if (open === 1) this.#open.delete(key);
    else this.#open.set(key, open - 1);
  }
}
