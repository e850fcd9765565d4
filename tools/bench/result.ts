/** What a run of the benchmark found: the JSON file, from which tables and chart are made. Bytes and seconds throughout. */

export interface Result {
  readonly conditions: Conditions;
  readonly images: readonly ImageFacts[];
  readonly peers: readonly PeerFacts[];
  readonly cold: readonly ColdRow[];
  readonly floors: readonly FloorRow[];
  readonly cached: readonly TimesRow[];
  readonly trees: readonly TimesRow[];
  readonly sharing: readonly SharingRow[];
  readonly disk: readonly DiskRow[];
  readonly removal: readonly TimesRow[];
}

/** Of the machine and the run. */
export interface Conditions {
  readonly date: string;
  readonly machine: string;
  readonly software: string;
  readonly rounds: number;
  /** Page cache emptied at the begin of each round. */
  readonly cachesDropped: boolean;
  /** Times that the files of earlier rounds were emptied in the middle of the run, for want of room. */
  emptied: number;
}

export interface ImageFacts {
  readonly tag: string;
  readonly what: string;
  readonly layers: number;
  /** Compressed. */
  readonly bytes: number;
  readonly entries: number;
  /** Of the layers, as tar. */
  readonly unpacked: number;
}

export interface PeerFacts {
  readonly name: string;
  /** Why it was not measured. */
  readonly missing?: string;
}

/** One command. */
export interface Sample {
  readonly wall: number;
  /** User and system time, of daemon and children too; the registry's apart. */
  readonly cpu: number;
  readonly registryCpu: number;
  readonly peakRss: number;
  /** `write_bytes` of /proc/PID/io less `cancelled_write_bytes`, and less `spool`. */
  readonly written: number;
  readonly cancelled: number;
  /** Of a download that was kept only until it was unpacked: what was written before it was deleted. */
  readonly spool: number;
  /** Until all of it was on the disk, after the end of the command. */
  readonly sync: number;
  /** Of the whole directory afterwards, in blocks, each inode once. */
  readonly disk: number;
  readonly inodes: number;
  readonly names: number;
}

export interface ColdRow {
  readonly image: string;
  readonly peer: string;
  readonly samples: Sample[];
  /** Why there are no (more) samples. */
  failure?: string;
}

/** CPU seconds on one core. */
export interface Floor {
  readonly inflate: number;
  readonly blobDigest: number;
  readonly layerDigest: number;
  readonly framing: number;
  readonly fileDigests: number;
  readonly create: number;
  readonly link: number;
}

export interface FloorRow {
  readonly image: string;
  readonly samples: Floor[];
}

/** The same thing done again and again: seconds each. */
export interface TimesRow {
  readonly image: string;
  readonly name: string;
  readonly times: number[];
  /** User and system time, where it was measured. */
  readonly cpu?: number[];
  /** System calls of one, as strace counts them. */
  systemCalls?: number;
  failure?: string;
}

/** An image, then the same files in other layers, into the same store. */
export interface SharingRow {
  readonly peer: string;
  readonly first: Sample[];
  readonly second: Sample[];
  failure?: string;
}

/** Images one after the other, into the same store. */
export interface DiskRow {
  readonly peer: string;
  readonly images: readonly string[];
  /** After each image. */
  readonly disk: number[];
  failure?: string;
}
