/** The part of fs-native-extensions that is used here; the package brings no types. */
declare module "fs-native-extensions" {
  /** An exclusive lock of the open file description (F_OFD_SETLK); false when another one holds it. */
  export function tryLock(fd: number): boolean;
}
