/** What a kind of mount cannot do, one reason each. A case that is not here must pass. */
import type { Skips } from "./run.ts";

const noDevices = "the mount is nodev";
const noSetId = "the mount is nosuid";

export const skips: Readonly<Record<"kernel" | "fuse-native", Skips>> = {
  kernel: {
    "a device node works": noDevices,
    "a set-gid program runs with the file's group": noSetId,
  },
  "fuse-native": {
    "a device node works": noDevices,
    "a set-gid program runs with the file's group": noSetId,
  },
};
