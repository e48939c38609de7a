// @ts-check
// What a run printed and logged. However much there is, only the lines that can be seen are in the document.
import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { get, path, query, wrongOf } from "./api.js";
import { Button, Copy } from "./button.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { Value } from "./json.js";
import { follow } from "./live.js";
import { Empty, Facts, WhatIsWrong } from "./notes.js";
import { clockMs } from "./time.js";
import { useWindow } from "./windowed.js";
/** @import { Line, Page, Run, Wrong } from "../wire" */

const HEIGHT = 20;
const LEVELS = ["trace", "debug", "info", "warn", "error"];

/** @typedef {{ line: Line, text: string, first: boolean }} Entry */

/** Loads the lines that are there, and follows what comes. @param {Run} run @param {boolean} still */
function useLines(run, still) {
  const lines = useRef(/** @type {Line[]} */ ([]));
  const [version, setVersion] = useState(0);
  const [wrong, setWrong] = useState(/** @type {Wrong | undefined} */ (undefined));
  const after = useRef("0");
  useEffect(() => {
    let closed = false;
    let stop = () => {};
    const add = (/** @type {Line[]} */ more) => {
      if (closed || more.length === 0) return;
      for (const it of more) lines.current.push(it);
      setVersion((it) => it + 1);
    };
    const load = async () => {
      try {
        for (;;) {
          const { items, next = after.current } = /** @type {Page<Line>} */ (await get(path("flow-runs", run.id, "logs") + query({ after: after.current })));
          if (closed) return;
          after.current = next;
          add(items);
          if (items.length < 1000) break;
        }
        if (closed || still) return;
        stop = follow(path("flow-runs", run.id, "logs", "stream"), {
          from: after.current,
          on: (all) => {
            after.current = all.at(-1)?.id || after.current;
            add(all.map((it) => JSON.parse(it.data)));
          },
        });
      } catch (error) {
        if (!closed) setWrong(wrongOf(error));
      }
    };
    void load();
    return () => {
      closed = true;
      stop();
    };
  }, [run.id, run.round, still]);
  return { lines: lines.current, version, wrong };
}

/** @param {{ entry: Entry, choose: (line: Line) => void }} props */
const Row = ({ entry: { line, text, first }, choose }) => html`<div class=${`entry level-${line.level}`} onClick=${() => choose(line)}>
  <time datetime=${line.at} title=${line.at}>${first ? html`${clockMs(line.at).slice(0, 8)}<span class="millis">${clockMs(line.at).slice(8)}</span>` : ""}</time>
  <b class=${`level-${line.level}`}>${first ? line.level.toUpperCase() : ""}</b>
  <span class="who" title=${line.task ?? "the flow itself"}>${first ? `${line.task ?? "flow"} ${line.attempt > 1 ? "·" + line.attempt : ""}` : ""}</span><span>${text}</span>
</div>`;

/** @param {{ run: Run, still: boolean }} props */
export function Logs({ run, still }) {
  const { lines, version, wrong } = useLines(run, still);
  const [level, setLevel] = useState("trace");
  const [task, setTask] = useState("");
  const [text, setText] = useState("");
  const [following, setFollowing] = useState(!still);
  const [chosen, choose] = useState(/** @type {Line | null} */ (null));
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const tasks = useMemo(() => [...new Set(lines.map((it) => it.task ?? ""))].filter(Boolean).sort(), [version]);
  const cache = useRef({ key: "", upTo: 0, entries: /** @type {Entry[]} */ ([]) });
  const entries = useMemo(() => {
    const key = JSON.stringify([level, task, text, run.id]);
    const it = cache.current;
    if (it.key !== key) cache.current = { key, upTo: 0, entries: [] };
    const now = cache.current;
    const least = LEVELS.indexOf(level);
    const wanted = text.toLowerCase();
    // Only what is new is looked at.
    for (; now.upTo < lines.length; now.upTo++) {
      const line = /** @type {Line} */ (lines[now.upTo]);
      if (LEVELS.indexOf(line.level) < least || (task && (task === "(flow)" ? line.task : line.task !== task))) continue;
      if (wanted && !line.message.toLowerCase().includes(wanted)) continue;
      const parts = line.message.replace(/\n$/, "").split("\n");
      if (line.fields) parts[0] += "  " + JSON.stringify(line.fields);
      parts.forEach((part, at) => now.entries.push({ line, text: part.length > 2000 ? part.slice(0, 2000) + "…" : part, first: at === 0 }));
    }
    return now.entries;
  }, [version, level, task, text, run.id]);
  const { first, last } = useWindow(box, entries.length, HEIGHT, true);
  const shownCount = entries.length;
  useEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shownCount, following]);
  // Whoever scrolls up wants to read.
  const scrolled = () => {
    const it = box.current;
    if (it && following && it.scrollHeight - it.scrollTop - it.clientHeight > 3 * HEIGHT) setFollowing(false);
  };
  const onValue = (/** @type {(value: string) => void} */ set) => (/** @type {Event} */ event) => set(/** @type {HTMLInputElement} */ (event.currentTarget).value);
  return html`<div class="log-tools">
      <select aria-label="Least level" value=${level} onChange=${onValue(setLevel)}>${LEVELS.map((it) => html`<option value=${it} selected=${it === level}>${it === "trace" ? "All levels" : `${it} and above`}</option>`)}</select>
      <select aria-label="Task" value=${task} onChange=${onValue(setTask)}><option value="">Flow and tasks</option><option value="(flow)">Flow only</option>${tasks.map((it) => html`<option value=${it}>${it}</option>`)}</select>
      <div class="search"><${Icon} name="search" /><input type="search" aria-label="Search the log" placeholder="Search the log" value=${text} onInput=${onValue(setText)} /></div>
      ${!still && html`<${Button} icon="down" pressed=${following} onClick=${() => setFollowing(!following)}>Follow<//>`}
      <${Copy} text=${() => entries.map((it) => `${it.line.at} ${it.line.level} ${it.line.task ?? "flow"} ${it.text}`).join("\n")} label="Copy these lines" />
    </div>
    <${WhatIsWrong} wrong=${wrong} />
    <div class="log" ref=${box} tabindex="0" role="log" aria-label="Log" aria-live="off" onScroll=${scrolled}>
      ${entries.length === 0 ? html`<${Empty} title=${lines.length === 0 ? (still ? "It logged nothing" : "Nothing is logged yet") : "No line is like that"} />` : html`
      <div class="inner" style=${{ height: entries.length * HEIGHT + "px" }}><div class="at" style=${{ transform: `translateY(${first * HEIGHT}px)` }}>
        ${entries.slice(first, last).map((it, at) => html`<${Row} key=${first + at} entry=${it} choose=${choose} />`)}
      </div></div>`}
    </div>
    <p class="muted small" aria-live="polite">${entries.length.toLocaleString("en")} of ${lines.length.toLocaleString("en")} lines</p>
    ${chosen && html`<${Dialog} title="A log line" close=${() => choose(null)} wide>
      <${Facts} of=${[["When", html`<code>${chosen.at}</code>`], ["Level", chosen.level], ["Task", chosen.task ?? "the flow itself"], ["Attempt", String(chosen.attempt)]]} />
      <div class="value"><pre tabindex="0" role="region" aria-label="Message">${chosen.message}</pre><${Copy} text=${chosen.message} label="Copy the message" /></div>${chosen.fields && html`<h3>Fields</h3><${Value} value=${chosen.fields} label="fields" />`}
    <//>`}`;
}
