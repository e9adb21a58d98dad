/**
 * A directory of the simulated disk. Its names are durable after a sync of the directory; before that, a power
 * cut chooses from the changes. A rename is one change: both names, or none.
 */
import type { Random } from "../movers.ts";
import type { FileFate, SimulatedFile } from "./simulated-file.ts";

export type SimulatedNode = SimulatedFile | SimulatedDirectory;

type NameChange =
  | { readonly kind: "link"; readonly name: string; readonly node: SimulatedNode }
  | { readonly kind: "unlink"; readonly name: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string };

/** What becomes of unsynced names. */
export type NameFate = "dropped" | "kept" | Random;

export class SimulatedDirectory {
  readonly kind = "directory";
  #live = new Map<string, SimulatedNode>();
  #durable = new Map<string, SimulatedNode>();
  #changes: NameChange[] = [];

  get(name: string): SimulatedNode | undefined {
    return this.#live.get(name);
  }

  get names(): string[] {
    return [...this.#live.keys()];
  }

  get nodes(): Iterable<SimulatedNode> {
    return this.#live.values();
  }

  link(name: string, node: SimulatedNode): void {
    this.#change({ kind: "link", name, node });
  }

  unlink(name: string): void {
    this.#change({ kind: "unlink", name });
  }

  rename(from: string, to: string): void {
    this.#change({ kind: "rename", from, to });
  }

  sync(): void {
    this.#durable = new Map(this.#live);
    this.#changes = [];
  }

  #change(change: NameChange): void {
    carryOut(this.#live, change);
    this.#changes.push(change);
  }

  /** The directory and all below it as they are, with what is not durable yet. */
  copy(copies = new Map<SimulatedNode, SimulatedNode>()): SimulatedDirectory {
    const copied = (node: SimulatedNode): SimulatedNode => {
      let copy = copies.get(node);
      if (copy === undefined) {
        copy = node.kind === "file" ? node.copy() : node.copy(copies);
        copies.set(node, copy);
      }
      return copy;
    };
    const copy = new SimulatedDirectory();
    for (const [name, node] of this.#live) copy.#live.set(name, copied(node));
    for (const [name, node] of this.#durable) copy.#durable.set(name, copied(node));
    copy.#changes = this.#changes.map((change) =>
      change.kind === "link" ? { ...change, node: copied(change.node) } : change,
    );
    return copy;
  }

  /** The directory and all below it as a start after a power cut finds them. */
  afterCut(names: NameFate, files: FileFate): SimulatedDirectory {
    const left = new Map(this.#durable);
    for (const change of this.#changes) {
      if (names === "kept" || (typeof names === "function" && names() < 0.6)) {
        carryOut(left, change);
      }
    }
    const directory = new SimulatedDirectory();
    for (const [name, node] of left) {
      directory.#live.set(
        name,
        node.kind === "file" ? node.afterCut(files) : node.afterCut(names, files),
      );
    }
    directory.sync();
    return directory;
  }
}

/** A change that does not fit any more, because one before it was lost, is lost with it. */
function carryOut(names: Map<string, SimulatedNode>, change: NameChange): void {
  if (change.kind === "link") {
    names.set(change.name, change.node);
  } else if (change.kind === "unlink") {
    names.delete(change.name);
  } else {
    const node = names.get(change.from);
    if (node === undefined) return;
    names.delete(change.from);
    names.set(change.to, node);
  }
}
