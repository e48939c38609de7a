// @ts-check
// What was done when: a row for the flow and one for each call, waits as dotted lines.
import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { Icon } from "./icons.js";
import { iconOf } from "./state.js";
import { hue, isStill, rows, scale } from "./timeline.js";
import { useWindow } from "./windowed.js";
/** @import { Run } from "../wire" */
/** @import { Bar, Open, Row } from "./timeline.js" */

const HEIGHT = 32;

const percent = (/** @type {number} */ share) => `${(share * 100).toFixed(3)}%`;

/** @param {{ bar: Bar, x: (t: number) => number }} props */
function Piece({ bar, x }) {
  const left = x(bar.from);
  return html`<i class=${bar.hue} title=${bar.title} style=${{ left: percent(left), width: percent(Math.max(0, x(bar.to) - left)) }}></i>`;
}

/** @param {{ row: Row, x: (t: number) => number, open: boolean, choose: (id: number) => void }} props */
function Line({ row, x, open, choose }) {
  const kind = row.task?.kind === "flow" ? "flows" : row.task?.kind === "sleep" ? "moon" : "";
  const inside = html`<span class="name"><${Icon} name=${iconOf(row.state)} class=${hue(row)} /><span title=${row.name}>${row.name}</span>
      ${row.number && html`<small class="muted">${row.number}</small>`}${kind && html`<${Icon} name=${kind} class="idle" />`}
      ${row.task?.by_hand && html`<span class="tag hand" title="A person set its result">by hand</span>`}</span>
    <span class="track">${row.bars.map((bar, at) => html`<${Piece} key=${at} bar=${bar} x=${x} />`)}</span>
    <span class="end"><span class="hidden">${row.state}, </span>${row.end}</span>`;
  if (!row.task) return html`<div class=${`row ${row.id === 0 ? "flow" : ""}`}>${inside}</div>`;
  return html`<button type="button" class="row" aria-expanded=${open} onClick=${() => choose(row.id)}>${inside}</button>`;
}

/** @param {{ run: Run, open: Map<number, Open>, version: number, chosen: number | undefined, choose: (id: number | undefined) => void }} props */
export function Timeline({ run, open, version, chosen, choose }) {
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [now, setNow] = useState(Date.now);
  const still = isStill(run);
  useEffect(() => {
    if (still) return;
    const timer = setInterval(() => !document.hidden && setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [still]);
  const all = useMemo(() => rows(run, open, Date.now()), [run, version, now]);
  const { x, gaps, ticks } = useMemo(() => scale(all), [all]);
  const { first, last, above, below } = useWindow(list, all.length, HEIGHT, true);
  const toggle = (/** @type {number} */ id) => choose(chosen === id ? undefined : id);
  return html`<div class="gantt">
    <div class="axis" aria-hidden="true">
      ${gaps.map((it) => html`<i class="gap" style=${{ left: percent(it.at), width: percent(it.width) }}></i><span style=${{ left: percent(it.at + it.width / 2) }}>${it.title}</span>`)}
      ${ticks.filter((it) => gaps.every((gap) => Math.abs(gap.at + gap.width / 2 - it.at) > 0.09)).map((it) => html`<i style=${{ left: percent(it.at) }}></i><span style=${{ left: percent(it.at) }}>${it.title}</span>`)}
    </div>
    <div class="rows" ref=${list} role="group" aria-label="Calls">
      <div style=${{ height: above + "px" }}></div>
      ${all.slice(first, last).map((row) => html`<${Line} key=${row.id} row=${row} x=${x} open=${chosen === row.id} choose=${toggle} />`)}
      <div style=${{ height: below + "px" }}></div>
    </div>
    <div class="foot"></div>
  </div>`;
}
