/** The directory in which everything is measured: plain directories and stores side by side on one disk. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Native } from "./native.ts";
import type { Options, Sizes } from "./options.ts";
import { SpoolProcess } from "./spool-process.ts";

export class Workspace {
  readonly directory: string;
  readonly native: Native;
  readonly options: Options;
  readonly sizes: Sizes;

  constructor(directory: string, native: Native, options: Options) {
    this.directory = directory;
    this.native = native;
    this.options = options;
    this.sizes = options.sizes;
  }

  /** A new directory beside whatever else is there; the bench removes nothing that it did not make. */
  static makeDirectory(options: Options): string {
    const parent = resolve(options.directory ?? ".");
    mkdirSync(parent, { recursive: true });
    const directory = mkdtempSync(join(parent, "onespool-bench-"));
    // The mail server's workers run as another account and reach their mount through it.
    chmodSync(directory, 0o711);
    return directory;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  mount(store: string): Promise<SpoolProcess> {
    return SpoolProcess.start(
      this.native,
      this.path(store),
      this.path(`${store}.mnt`),
      this.options.binding,
    );
  }

  async makeMailboxes(directory: string, count: number): Promise<void> {
    mkdirSync(directory, { recursive: true });
    await this.native.run("make_mailboxes", [directory, count], 600_000);
  }

  /** Frees the disk for the next row; `--keep` leaves it all. */
  remove(name: string): void {
    if (this.options.keep) return;
    rmSync(this.path(name), { recursive: true, force: true });
  }
}

/** To standard error, so that standard output holds the figures alone. */
export function progress(text: string): void {
  process.stderr.write(`# ${text}\n`);
}
