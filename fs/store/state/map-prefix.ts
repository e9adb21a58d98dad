/**
 * A snapshot of a large file's map is written in several commits while the file goes on changing. What the pages say so
 * far is the file's beginning up to here; changes before this place are in the log behind those pages, and move it. A
 * rebuild follows it in the same way (rebuild-maps.ts), so the next page continues there, whatever happens meanwhile.
 */
export class MapPrefix {
  readonly ino: number;
  bytes = 0;

  constructor(ino: number) {
    this.ino = ino;
  }

  /** `remove` bytes at `offset` of a file were replaced by `added` ones. Behind the prefix that is for later pages to say. */
  spliced(ino: number, offset: number, remove: number, added: number): void {
    if (ino !== this.ino || offset >= this.bytes) return;
    this.bytes += added - Math.min(remove, this.bytes - offset);
  }
}
