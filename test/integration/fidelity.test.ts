/** Two real images, unpacked by shale and by umoci; `npm run test:images` has more, and podman. Needs root. */
import { test } from "node:test";
import { checkRealImage } from "../support/check-real-image.ts";
import { ensureImages } from "../support/ensure-images.ts";

for (const tag of ["packages", "full"] as const) {
  test(`\`materializeRootfs()\` and mounted trees of a real image equal what umoci unpacks (${tag})`, async () => {
    const { layout } = await ensureImages();
    const commands = ['python3 -c "import sys, os, io"', ...(tag === "full" ? ["test -u /opt/shale/setuid"] : [])];
    await checkRealImage({ layout, tag, podman: false, commands });
  });
}
