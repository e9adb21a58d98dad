/** Counts by number, for more numbers than a Map takes (2^24): those close to each other share an array. */

const PAGE = 512;

export class Tally {
  readonly #pages = new Map<number, Uint32Array>();

  add(key: number): void {
    const page = Math.floor(key / PAGE);
    let counts = this.#pages.get(page);
    if (counts === undefined) {
      counts = new Uint32Array(PAGE);
      this.#pages.set(page, counts);
    }
    const at = key % PAGE;
    counts[at] = (counts[at] as number) + 1;
  }

  get(key: number): number {
    return this.#pages.get(Math.floor(key / PAGE))?.[key % PAGE] ?? 0;
  }
}
