/** How a staged tree, which is still being written, contains one entry. */

export const ABSENT = 0;
/** As a directory with mode 0700 for now, or as a file: the first ordinal of its native inode. */
export const STAGED = 1;
/** As a copy of the first ordinal of its native inode, which has no name in chunks/ yet. */
export const COPIED = 2;

export type StagedState = typeof ABSENT | typeof STAGED | typeof COPIED;
