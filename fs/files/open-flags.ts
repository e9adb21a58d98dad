/** Flags of open(2) that count here, as Linux numbers them on x86-64 and arm64 (asm-generic/fcntl.h). */
export const O_RDONLY = 0;
/** The access mode is two bits. */
export const O_ACCMODE = 0o3;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_DSYNC = 0o10000;
export const O_NOATIME = 0o1000000;
/** O_SYNC is two bits: this one and O_DSYNC. */
export const O_SYNC = 0o4010000;
