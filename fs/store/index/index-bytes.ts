/** How much of the disk the index takes. */
import { lengthsIn } from "../disk/file-lengths.ts";
import { indexDirectory } from "../paths.ts";

export function indexBytes(store: string): number {
  return lengthsIn(indexDirectory(store), () => true);
}
