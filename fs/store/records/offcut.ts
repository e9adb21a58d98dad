/** What a truncation cut off a file is kept as an inode too, without a name. */
import { S_IFMT } from "../../attributes.ts";

/**
 * The mode of an inode that is no file but holds what a truncation cut off one, for a while
 * (fs/files/offcuts.ts): neither it nor its bytes count as a file's.
 */
export const OFFCUT_MODE = 0;

export function isOffcut(mode: number): boolean {
  return (mode & S_IFMT) === 0;
}
