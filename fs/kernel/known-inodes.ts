/**
 * The inodes that the kernel knows, each with its lookup count: how often a reply named it less how
 * often FORGET took back. An open-addressing table in two typed arrays, 12 bytes a slot, so that
 * 1,000,000 known inodes cost 25 MB and nothing for the garbage collector to walk.
 *
 * Invariants:
 * - `keys[i] === 0` is a free slot; every other key stands once, with a count > 0.
 * - Between a key's home slot and its slot no slot is free (linear probing).
 * - At most 3/4 of the slots are taken, and at least 1/8 unless the table has its least size.
 *
 * A count that would pass 2^31-1 stays there for good: the inode is then forgotten only with the
 * connection, which is late but never too early. The bit above the count is the inode's mark.
 */
import { assert } from "../../base/assert.ts";

const capacityMin = 1024;
const countMax = 0x7fff_ffff;
const markBit = 0x8000_0000;

export class KnownInodes {
  #keys = new Float64Array(capacityMin);
  #counts = new Uint32Array(capacityMin);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    return this.#keys.byteLength + this.#counts.byteLength;
  }

  has(ino: number): boolean {
    return ino !== 0 && this.#keys[this.#find(ino)] === ino;
  }

  count(ino: number): number {
    const slot = this.#find(ino);
    return this.#keys[slot] === ino ? this.#countAt(slot) : 0;
  }

  /** One more reply names the inode. `ino` is a safe integer > 0. */
  add(ino: number): void {
    const slot = this.#find(ino);
    if (this.#keys[slot] === ino) {
      if (this.#countAt(slot) < countMax) this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
      return;
    }
    this.#keys[slot] = ino;
    this.#counts[slot] = 1;
    this.#size += 1;
    if (this.#size * 4 > this.#keys.length * 3) this.#resize(this.#keys.length * 2);
  }

  /** The mark stays as long as the inode is known; nothing happens when it is not. */
  mark(ino: number): void {
    const slot = this.#find(ino);
    if (ino !== 0 && this.#keys[slot] === ino) {
      this.#counts[slot] = this.#countAt(slot) + markBit;
    }
  }

  isMarked(ino: number): boolean {
    const slot = this.#find(ino);
    return ino !== 0 && this.#keys[slot] === ino && (this.#counts[slot] ?? 0) >= markBit;
  }

  /** Takes back `count` look-ups. True when the inode is known no longer, false too when it never was. */
  subtract(ino: number, count: number): boolean {
    const slot = this.#find(ino);
    if (ino === 0 || this.#keys[slot] !== ino) return false;
    const present = this.#countAt(slot);
    if (present === countMax) return false;
    if (count < present) {
      this.#counts[slot] = (this.#counts[slot] ?? 0) - count;
      return false;
    }
    this.#removeAt(slot);
    this.#size -= 1;
    const capacity = this.#keys.length;
    if (capacity > capacityMin && this.#size * 8 < capacity) this.#resize(capacity / 2);
    return true;
  }

  /** Empties the table and calls `each` for every inode that was in it. */
  clear(each: (ino: number) => void): void {
    const keys = this.#keys;
    this.#keys = new Float64Array(capacityMin);
    this.#counts = new Uint32Array(capacityMin);
    this.#size = 0;
    for (const ino of keys) if (ino !== 0) each(ino);
  }

  /** Asserts the invariants of the head comment. */
  check(): void {
    let taken = 0;
    const capacity = this.#keys.length;
    for (let slot = 0; slot < capacity; slot += 1) {
      const key = this.#keys[slot] ?? 0;
      if (key === 0) continue;
      taken += 1;
      assert(this.#countAt(slot) > 0, "a known inode has a count");
      assert(this.#find(key) === slot, "a key is found where it stands");
    }
    assert(taken === this.#size, "size counts the taken slots");
    assert(taken * 4 <= capacity * 3, "a quarter of the slots is free");
    assert(capacity === capacityMin || taken * 8 >= capacity, "the table has shrunk");
  }

  #countAt(slot: number): number {
    return (this.#counts[slot] ?? 0) % markBit;
  }

  /** The slot of the key, or the free slot where it would go. */
  #find(ino: number): number {
    const mask = this.#keys.length - 1;
    let slot = home(ino, mask);
    for (;;) {
      const key = this.#keys[slot];
      if (key === ino || key === 0) return slot;
      slot = (slot + 1) & mask;
    }
  }

  /** Moves later keys of the run back, so that no tombstone is needed. */
  #removeAt(removed: number): void {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let free = removed;
    let slot = removed;
    for (;;) {
      slot = (slot + 1) & mask;
      const key = keys[slot] ?? 0;
      if (key === 0) break;
      const distanceFromHome = (slot - home(key, mask)) & mask;
      const distanceFromFree = (slot - free) & mask;
      if (distanceFromHome < distanceFromFree) continue;
      keys[free] = key;
      this.#counts[free] = this.#counts[slot] ?? 0;
      free = slot;
    }
    keys[free] = 0;
    this.#counts[free] = 0;
  }

  #resize(capacity: number): void {
    const keys = this.#keys;
    const counts = this.#counts;
    this.#keys = new Float64Array(capacity);
    this.#counts = new Uint32Array(capacity);
    for (let slot = 0; slot < keys.length; slot += 1) {
      const key = keys[slot] ?? 0;
      if (key === 0) continue;
      const target = this.#find(key);
      this.#keys[target] = key;
      this.#counts[target] = counts[slot] ?? 0;
    }
  }
}

/** Fibonacci hashing: inode numbers come in runs, and runs must not become clusters. */
function home(ino: number, mask: number): number {
  const low = ino >>> 0;
  const high = Math.floor(ino / 0x1_0000_0000) >>> 0;
  const mixed = Math.imul(low ^ Math.imul(high, 0x85eb_ca6b), 0x9e37_79b1);
  return (mixed ^ (mixed >>> 15)) & mask;
}
