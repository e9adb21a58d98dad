/** What fsck finds wrong, in words. Of very many the first ones are kept and all are counted. */

/** Problems that are described in full. */
export const PROBLEMS_MAX = 100;

export class Problems {
  readonly #texts: string[] = [];
  #count = 0;

  get texts(): readonly string[] {
    return this.#texts;
  }

  /** All of them, also those that are not described. */
  get count(): number {
    return this.#count;
  }

  add(text: string): void {
    this.#count++;
    if (this.#texts.length < PROBLEMS_MAX) this.#texts.push(text);
  }

  /** A number that the store keeps is what is found by counting. */
  expect<N extends number | bigint>(what: string, found: N, recorded: N): void {
    if (found !== recorded) this.add(`${what}: ${found} by counting, ${recorded} recorded`);
  }
}
