import { test } from "node:test";
import { pullBigFile } from "../support/pull-big-file.ts";

test("A pull's memory does not grow with a file of 600 MB", async () => {
  await pullBigFile(600_000_000);
});
