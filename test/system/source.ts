/** Files of the source tree that the compiler does not copy, found from where the compiled test lies. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The absolute path of a file that is named from the top of the source tree. */
export function sourcePath(path: string): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(directory, path);
    if (existsSync(candidate)) return candidate;
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`not found in any directory above: ${path}`);
    directory = parent;
  }
}
