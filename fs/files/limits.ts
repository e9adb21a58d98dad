/** The limits of the file system, each with the errno that refuses what is beyond it. */

/** Bytes of a name in a directory: ENAMETOOLONG. */
export const NAME_LENGTH_MAX = 255;

/** Bytes of a symbolic link's target; PATH_MAX counts a NUL byte besides: ENAMETOOLONG. */
export const TARGET_LENGTH_MAX = 4_095;

/** Names of one file, as on ext4: EMLINK. */
export const LINK_COUNT_MAX = 65_000;

/** 2 + subdirectories. More than for files: a spool may hold a directory for each user. EMLINK. */
export const DIRECTORY_LINK_COUNT_MAX = 0xffff_fffe;

/** Bytes of a file: what a number holds exactly. EFBIG. */
export const FILE_SIZE_MAX = Number.MAX_SAFE_INTEGER;

/** Bytes of an extended attribute's name (ERANGE) and value (E2BIG), as Linux limits them. */
export const XATTR_NAME_LENGTH_MAX = 255;
export const XATTR_VALUE_LENGTH_MAX = 65_536;

/** Bytes of all names and values of one inode: ENOSPC, as ext4 answers when its block is full. */
export const XATTR_TOTAL_LENGTH_MAX = 131_072;

/** One copy_file_range answers with less than was asked for rather than go beyond these. */
export const COPY_LENGTH_MAX = 1 << 30;
export const COPY_EXTENTS_MAX = 2_000;

/** Extents of a file without names that one turn of the event loop gives back. */
export const DROP_EXTENTS_MAX = 2_000;

/** Bytes that are cut off a file from which on they are kept for a while (offcuts.ts): less is soon stored again. */
export const OFFCUT_LENGTH_MIN = 4_096;

/** Files whose cut-off bytes are kept at a time. */
export const OFFCUTS_MAX = 64;

/** Calls of tick (5 s apart) without a use after which they are not kept any longer. */
export const OFFCUT_IDLE_TICKS_MAX = 6;
