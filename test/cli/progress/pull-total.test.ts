import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PullTotal, type TotalView } from "../../../src/cli/progress/pull-total.ts";
import type { ProgressEvent } from "../../../src/index.ts";
import { diffId, resolved, wholeLayer } from "./events.ts";

/** With a clock that is set by hand. */
function follow(): { readonly clock: { now: number }; readonly total: PullTotal; readonly apply: (...events: ProgressEvent[]) => void } {
  const clock = { now: 0 };
  const total = new PullTotal(() => clock.now);
  return { clock, total, apply: (...events) => events.forEach((event) => total.apply(event)) };
}

function fetching({ total }: { readonly total: PullTotal }): Extract<TotalView, { kind: "fetching" }> {
  const { view } = total;
  assert.equal(view?.kind, "fetching");
  return view;
}

function advanced(index: number, bytes: number, total = 100): ProgressEvent {
  return { kind: "download-advanced", index, diffId: diffId(index), bytes, total };
}

test("PullTotal has nothing to tell before there is something to fetch, nor when all is there", () => {
  const pull = follow();
  assert.equal(pull.total.view, undefined);
  pull.apply(resolved(2, 100));
  for (const index of [0, 1]) {
    pull.apply({ kind: "layer-skipped", reason: "in-store", index, diffId: diffId(index) });
    pull.apply({ kind: "tree-skipped", index, diffId: diffId(index) });
  }
  assert.equal(pull.total.view, undefined);
});

test("PullTotal counts the bytes of the layers that are to be fetched, and of no other", () => {
  const pull = follow();
  pull.apply(resolved(3, 100), { kind: "layer-skipped", reason: "in-store", index: 1, diffId: diffId(1) }, advanced(0, 30));
  const { bytes, total, finished, layers } = fetching(pull);
  assert.deepEqual([bytes, total, finished, layers], [30, 200, 0, 2]);
  pull.apply(...wholeLayer(0, 100).slice(0, 7));
  const after = fetching(pull);
  assert.deepEqual([after.bytes, after.total, after.finished], [100, 200, 1]);
});

test("PullTotal tells of fetching while a layer comes, though a lower one's tree is made already", () => {
  const pull = follow();
  pull.apply(resolved(2, 100), ...wholeLayer(0, 100).slice(0, 7), advanced(1, 30));
  pull.apply({ kind: "tree-started", index: 0, diffId: diffId(0), total: 10 });
  assert.equal(fetching(pull).bytes, 130);
  pull.apply(...wholeLayer(1, 100).slice(0, 7));
  assert.equal(pull.total.view?.kind, "linking");
});

test("PullTotal counts a layer that the image has twice once", () => {
  const pull = follow();
  const event = resolved(2, 100);
  pull.apply({ ...event, layers: [...event.layers, ...event.layers.slice(0, 1)] }, ...wholeLayer(0, 100).slice(0, 7));
  pull.apply({ kind: "layer-skipped", reason: "in-store", index: 2, diffId: diffId(0) });
  const { bytes, total, layers } = fetching(pull);
  assert.deepEqual([bytes, total, layers], [100, 200, 2]);
});

test("PullTotal counts what was resumed as there, and not as speed", () => {
  const pull = follow();
  pull.apply(resolved(1, 10_000), { kind: "download-started", index: 0, diffId: diffId(0), total: 10_000 });
  pull.apply({ kind: "download-resumed", index: 0, diffId: diffId(0), bytes: 6000 });
  assert.equal(fetching(pull).bytes, 6000);
  for (const [now, bytes] of [
    [100, 1000],
    [200, 6000],
    [1200, 6500],
    [2200, 7000],
  ] as const) {
    pull.clock.now = now;
    pull.apply(advanced(0, bytes, 10_000));
    assert.equal(fetching(pull).bytes, Math.max(6000, bytes));
  }
  const { rate, left } = fetching(pull);
  assert.deepEqual([rate, left], [500, 6]);
});

test("PullTotal begins a layer again that is fetched again, and stays right", () => {
  const pull = follow();
  const [started] = wholeLayer(0, 100);
  pull.apply(resolved(1, 100), started!, advanced(0, 80), started!);
  assert.equal(fetching(pull).bytes, 0);
  pull.apply(advanced(0, 40));
  assert.equal(fetching(pull).bytes, 40);
});

test("PullTotal counts what another process fetches, whose end does not take it back", () => {
  const pull = follow();
  pull.apply(resolved(2, 100), advanced(0, 60, 0));
  assert.equal(fetching(pull).bytes, 60);
  pull.apply({ kind: "layer-skipped", reason: "ingested-elsewhere", index: 0, diffId: diffId(0) });
  const { bytes, total, finished } = fetching(pull);
  assert.deepEqual([bytes, total, finished], [100, 200, 1]);
});

test("PullTotal tells neither total nor time where a size is not known", () => {
  const pull = follow();
  for (const [now, bytes] of [
    [0, 0],
    [2000, 1000],
  ] as const) {
    pull.clock.now = now;
    pull.apply(advanced(0, bytes, 0));
  }
  const { bytes, total, left, rate } = fetching(pull);
  assert.deepEqual([bytes, total, left, rate], [1000, undefined, undefined, 500]);
});

test("PullTotal tells the rate once it is known, and another at most once a second", () => {
  const pull = follow();
  pull.apply(resolved(1, 1e6));
  const rates: (number | undefined)[] = [];
  for (let now = 0; now <= 5000; now += 100) {
    pull.clock.now = now;
    pull.apply(advanced(0, now * now, 1e9));
    const { rate } = fetching(pull);
    if (rate !== rates.at(-1)) rates.push(rate);
  }
  assert.ok(rates.length >= 4 && rates.length <= 6, String(rates));
});

test("PullTotal goes over to trees, of as many as the image has layers", () => {
  const pull = follow();
  pull.apply(resolved(4, 100));
  for (const index of [1, 2, 3]) pull.apply({ kind: "layer-skipped", reason: "in-store", index, diffId: diffId(index) });
  pull.apply(...wholeLayer(0, 100), { kind: "tree-skipped", index: 1, diffId: diffId(1) });
  pull.apply({ kind: "tree-started", index: 2, diffId: diffId(2), total: 10 });
  pull.apply({ kind: "tree-advanced", index: 2, diffId: diffId(2), entries: 5, total: 10 });
  assert.deepEqual(pull.total.view, { kind: "linking", names: 8748, finished: 2, trees: 4, part: 0.625 });
});

test("PullTotal does not know how many trees come where no manifest was told", () => {
  const pull = follow();
  pull.apply({ kind: "tree-started", index: 0, diffId: diffId(0), total: 10 });
  assert.deepEqual(pull.total.view, { kind: "linking", names: 0, finished: 0, trees: undefined, part: undefined });
});

test("PullTotal never has more than its total, whatever comes in whatever order", () => {
  const events = fc.constantFrom<ProgressEvent>(
    ...[0, 1, 2].flatMap((index) => wholeLayer(index, 100).filter(({ kind }) => !kind.startsWith("tree-"))),
    ...[0, 1, 2].flatMap((index) => [
      { kind: "layer-skipped", reason: "in-store", index, diffId: diffId(index) } as const,
      { kind: "layer-skipped", reason: "ingested-elsewhere", index, diffId: diffId(index) } as const,
      { kind: "download-resumed", bytes: 70, index, diffId: diffId(index) } as const,
    ]),
  );
  const property = fc.property(fc.array(events), (some) => {
    const pull = follow();
    pull.apply(resolved(3, 100), ...some);
    const { view } = pull.total;
    return view === undefined || (view.kind === "fetching" && view.bytes >= 0 && view.bytes <= (view.total ?? 0));
  });
  fc.assert(property);
});
