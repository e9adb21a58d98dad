/** The part of fs-native-extensions that is used here; the package brings no types. */
declare module "fs-native-extensions" {
  /** A lock of the open file description (F_OFD_SETLK), exclusive unless shared; false when another one holds it. Length 0: to the end. */
  export function tryLock(
    fd: number,
    offset?: number,
    length?: number,
    options?: { readonly shared?: boolean },
  ): boolean;
  /** Extended attributes with their whole names ("user.x"); null for one that is not there. */
  export function getAttr(fd: number, name: string): Promise<Buffer | null>;
  export function setAttr(fd: number, name: string, value: Uint8Array): Promise<void>;
  export function listAttrs(fd: number): Promise<string[]>;
}
