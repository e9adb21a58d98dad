/** What a kind of mount cannot do, one reason each. A case that is not here must pass. */
import type { Skips } from "./run.ts";

const noDevices = "the mount is nodev";
const noSetId = "the mount is nosuid";

/** Limits of fuse-native 2.2.6 and of the path-based interface of libfuse 2 (native-notes/). */
const namesAreText = "fuse-native turns names into UTF-8 text";
const noFlags = "libfuse 2 has no renameat2";
const racy = "libfuse 2 opens by path: an open that loses a race against rename is ENOENT";
const noMapping =
  "without cache invalidation every open is direct I/O, which cannot be mapped shared";
const noTmpfile = "libfuse 2 has no tmpfile";
const removedDirectory = "libfuse 2 stats by path, and a removed directory has none";
const noSeek = "libfuse 2 has no lseek";
const noAllocate = "fuse-native has no fallocate";
const timesAreDates = "fuse-native gives and takes times as milliseconds since 1970";
const noCaller = "fuse-native does not tell who calls: everything belongs to the server's user";

export const skips: Readonly<Record<"kernel" | "fuse-native", Skips>> = {
  kernel: {
    "a device node works": noDevices,
    "a set-gid program runs with the file's group": noSetId,
  },
  "fuse-native": {
    "a device node works": noDevices,
    "a set-gid program runs with the file's group": noSetId,
    "names hold every byte but slash and NUL": namesAreText,
    "names that are not UTF-8 and names that look alike stay apart": namesAreText,
    "a name has at most 255 bytes": namesAreText,
    "a symlink keeps its target byte by byte": namesAreText,
    "a name that is always being replaced is always there": racy,
    "RENAME_NOREPLACE refuses a name that is taken": noFlags,
    "RENAME_EXCHANGE swaps two names": noFlags,
    "a mapped file lives on without name and descriptor": noMapping,
    "a mapping shows the file's bytes": noMapping,
    "a mapping shows what another program writes": noMapping,
    "a mapping shows what is appended behind the old end": noMapping,
    "a mapping behind the end of the file is SIGBUS": noMapping,
    "what is written to a shared mapping is in the file": noMapping,
    "a removed directory that is open is empty and takes no names": removedDirectory,
    "O_TMPFILE makes a file without a name": noTmpfile,
    "linkat gives an O_TMPFILE a name": noTmpfile,
    "SEEK_DATA and SEEK_HOLE find data and holes": noSeek,
    "fallocate grows a file with zeros unless it shall keep its size": noAllocate,
    "FALLOC_FL_PUNCH_HOLE makes zeros and keeps the size": noAllocate,
    "times have nanoseconds": timesAreDates,
    "times before 1970 and after 2106 are kept": timesAreDates,
    "UTIME_OMIT keeps a time and UTIME_NOW takes the clock's": timesAreDates,
    "a symlink has times of its own": timesAreDates,
    "a user cannot read or write another's 0600 file": noCaller,
    "what a user makes is the user's": noCaller,
    "in a sticky directory only owners remove and rename": noCaller,
    "a set-gid directory gives its group to what is made in it": noCaller,
    "chown is root's, chgrp to an own group the owner's": noCaller,
    "a write by another user takes the set-uid and set-gid bits away": noCaller,
  },
};
