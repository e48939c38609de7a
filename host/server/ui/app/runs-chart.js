// @ts-check
// How many runs there were when: what failed hangs below the line, so that it is not told by its colour alone.
import { html, useMemo } from "../vendor/preact.js";
import { hueOf } from "./state.js";
import { count, local } from "./time.js";
/** @import { Counts } from "../wire" */

const HUES = ["good", "busy", "wait", "idle"];
const [WIDTH, UP, DOWN] = [600, 44, 20];

/** @param {Counts} counts */
function columns(counts) {
  const length = Object.values(counts.states)[0]?.length ?? 0;
  return Array.from({ length }, (_, at) => {
    /** @type {Record<string, number>} */
    const hues = {};
    const words = [];
    for (const [state, all] of Object.entries(counts.states)) {
      const n = all[at] ?? 0;
      if (n === 0) continue;
      hues[hueOf(state)] = (hues[hueOf(state)] ?? 0) + n;
      words.push(`${n} ${state}`);
    }
    return { hues, words };
  });
}

/** @param {{ counts: Counts | undefined }} props */
export function Chart({ counts }) {
  return useMemo(() => {
    if (!counts) return html`<div class="chart"></div>`;
    const all = columns(counts);
    const above = (/** @type {typeof all[0]} */ it) => HUES.reduce((sum, hue) => sum + (it.hues[hue] ?? 0), 0);
    const most = Math.max(1, ...all.map(above), ...all.map((it) => ((it.hues.bad ?? 0) * DOWN) / UP));
    const step = WIDTH / Math.max(1, all.length);
    const from = Date.parse(counts.from);
    const total = Object.values(counts.total).reduce((sum, it) => sum + it, 0);
    const told = Object.entries(counts.total).map(([state, n]) => `${n} ${state}`).join(", ");
    return html`<figure class="chart">
      <svg viewBox=${`0 0 ${WIDTH} ${UP + DOWN + 2}`} preserveAspectRatio="none" role="img" aria-label=${`${count(total, "run")} since ${local(counts.from)}: ${told || "none"}`}>
        ${all.map((it, at) => {
          let y = UP;
          const bars = HUES.filter((hue) => it.hues[hue]).map((hue) => {
            const high = Math.max(1.5, ((it.hues[hue] ?? 0) / most) * UP);
            y -= high;
            return html`<rect class=${hue} x=${at * step + 1} y=${y} width=${step - 2} height=${high} />`;
          });
          const bad = it.hues.bad ? Math.max(1.5, (it.hues.bad / most) * UP) : 0;
          return html`<g><title>${`${local(from + at * counts.bucket_ms)}: ${it.words.join(", ") || "no runs"}`}</title>
            <rect class="room" x=${at * step} y="0" width=${step} height=${UP + DOWN + 2} />${bars}
            ${bad > 0 && html`<rect class="bad" x=${at * step + 1} y=${UP + 2} width=${step - 2} height=${Math.min(DOWN, bad)} />`}</g>`;
        })}
        <rect class="line" x="0" y=${UP + 0.5} width=${WIDTH} height="1" />
      </svg>
      <figcaption><span>${local(counts.from)}</span><span>failed below the line</span><span>now</span></figcaption>
    </figure>`;
  }, [counts]);
}
