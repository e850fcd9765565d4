import { test } from "node:test";
import { pullBigFile } from "../support/pull-big-file.ts";

test("A pull's memory does not grow with a file of 6 GiB, and no offset is cut to 32 bits", async () => {
  await pullBigFile(6 * 2 ** 30 + 12_345);
});
