/** What a tree that is still being written has of one entry. */

/** Nothing. */
export const ABSENT = 0;
/** A directory, mode 0700 for now; or a file: the first ordinal of its native inode. */
export const PLACED = 1;
/** A file like the first ordinal of its native inode, which has no name in chunks/ yet. */
export const COPIED = 2;

export type Placing = typeof ABSENT | typeof PLACED | typeof COPIED;
