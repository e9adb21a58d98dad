/**
 * How the herald names the file whose turn it is: DIRECTORY/FILE in the root of the mount. Nobody else finds these
 * names, and no listing shows them. The file is in a directory of its own because whoever watches a directory is told
 * of what happens to the files that were opened in it.
 */
export const heraldDirectory = ".onespool-herald";
export const heraldFile = "next";
