/** The chart of cold pulls, as SVG: a group of bars for each image, shale first; readable on light and on dark ground. */
import { floorWall, medianOf } from "./report.ts";
import type { Result } from "./result.ts";
import { spread } from "./statistics.ts";

interface Bar {
  readonly label: string;
  readonly value: number;
  /** Of the rounds; absent where there is no such thing. */
  readonly range?: readonly [number, number];
  readonly kind: "own" | "peer" | "floor";
}

interface Group {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 820;
const LEFT = 170;
const RIGHT = 70;
const BAR = 18;
const GAP = 5;
const TITLE = 34;

const STYLE = `text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.own { fill: #0969da } .peer { fill: #8c959f } .floor { fill: #c9d1d9 }
.range { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .own { fill: #58a6ff } .peer { fill: #6e7681 } .floor { fill: #3d444d }
  .range { stroke: #e6edf3 }
}`;

export function coldChart(result: Result): string {
  const tags = [...new Set(result.cold.map(({ image }) => image))];
  return drawChart(
    "Cold pulls: seconds, medians; the thin lines span all rounds",
    tags.map((tag) => coldGroup(result, tag)),
  );
}

function coldGroup(result: Result, tag: string): Group {
  const bars = result.cold
    .filter(({ image, samples }) => image === tag && samples.length > 0)
    .map(({ peer, samples }): Bar => {
      const kind = peer.startsWith("shale") ? "own" : peer.startsWith("curl") ? "floor" : "peer";
      return { label: peer, value: medianOf(samples, "wall"), range: spread(samples.map(({ wall }) => wall)), kind };
    });
  const floor = floorWall(result, tag);
  const facts = result.images.find((image) => image.tag === tag);
  const size = facts ? `: ${(facts.bytes / 1e6).toFixed(0)} MB in ${facts.layers} ${facts.layers === 1 ? "layer" : "layers"}` : "";
  const below: Bar[] = floor === undefined ? [] : [{ label: "floor on two cores", value: floor, kind: "floor" }];
  return { title: `${tag}${size}`, bars: [...bars, ...below] };
}

export function drawChart(title: string, groups: readonly Group[]): string {
  let top = TITLE;
  const parts = groups.map((group) => {
    const drawn = drawGroup(group, top);
    top += TITLE + group.bars.length * (BAR + GAP);
    return drawn;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top + GAP}" role="img" aria-label="${escapeXml(title)}">
<style>${STYLE}</style>
<text class="title" x="10" y="22">${escapeXml(title)}</text>
${parts.join("\n")}
</svg>
`;
}

/** Each group has its own scale, which its longest bar fills. */
function drawGroup({ title, bars }: Group, top: number): string {
  const longest = Math.max(...bars.map(({ value, range }) => range?.[1] ?? value), Number.MIN_VALUE);
  const scale = (value: number): number => (value / longest) * (WIDTH - LEFT - RIGHT);
  const lines = bars.map(({ label, value, range, kind }, index) => {
    const y = top + TITLE + index * (BAR + GAP);
    const middle = y + BAR / 2;
    const text = `<text x="${LEFT - 8}" y="${middle + 4.5}" text-anchor="end">${escapeXml(label)}</text>`;
    const bar = `<rect class="${kind}" x="${LEFT}" y="${y}" width="${round(scale(value))}" height="${BAR}" rx="2"/>`;
    const [from, to] = range ?? [value, value];
    const whisker = range
      ? `<line class="range" x1="${round(LEFT + scale(from))}" x2="${round(LEFT + scale(to))}" y1="${middle}" y2="${middle}"/>`
      : "";
    return `${text}${bar}${whisker}<text x="${round(LEFT + scale(to)) + 6}" y="${middle + 4.5}">${value.toFixed(2)}</text>`;
  });
  return [`<text class="title" x="${LEFT}" y="${top + 22}">${escapeXml(title)}</text>`, ...lines].join("\n");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
