/** Six images of Debian packages, unpacked by shale, umoci and podman. `npm run test:images`; some minutes, as root. */
import { test } from "node:test";
import { checkRealImage } from "../support/check-real-image.ts";
import { ensureRealImages, REAL_TAGS } from "../support/ensure-images.ts";

const COMMANDS: Readonly<Record<(typeof REAL_TAGS)[number], readonly string[]>> = {
  minbase: ["dpkg --verify", "perl -e 'print 1'"],
  python: [
    "dpkg --verify",
    "python3 -c 'import json, yaml, http.client, email, xml.etree.ElementTree, asyncio, unittest'",
    "cd /opt/app && python3 -c 'import module; assert module.answer() == 42'",
  ],
  node: [
    "dpkg --verify",
    `node -e 'require("http"); if (require("crypto").createHash("sha256").update("").digest("hex")[0] !== "e") process.exit(1)'`,
  ],
  perl: ["dpkg --verify", "perl -MLWP::UserAgent -MData::Dumper -MEncode -e 'print Dumper(LWP::UserAgent->new)'"],
  locale: [
    'test "$(LC_ALL=de_DE.UTF-8 locale charmap)" = UTF-8',
    "LC_ALL=de_DE.UTF-8 LANGUAGE=de gettext iso_3166-1 Germany | grep -q Deutschland",
  ],
  special: [
    "getcap /srv/capable | grep -q 'cap_net_admin,cap_net_raw=ep'",
    "getcap $(command -v ping) | grep -q cap_net_raw=ep",
    "test -u /srv/setuid && test -u /usr/bin/sudo && test -g /srv/setuid && test -c /srv/null && test -p /srv/fifo",
    "chroot --userspec=65534:65534 / /bin/su --version",
    "test ! -e /etc/issue.net && test ! -e /usr/share/bash-completion && test -f /usr/bin/pinky/file",
  ],
};

for (const tag of REAL_TAGS) {
  test(`The image ${tag} is to umoci, podman and its own programs what it is to shale`, async () => {
    await checkRealImage({ layout: await ensureRealImages(), tag, podman: true, commands: COMMANDS[tag] });
  });
}
