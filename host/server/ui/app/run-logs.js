// @ts-check
// What a run printed and logged. However much there is, only the lines that can be seen are in the document.
import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { Button, Copy, Empty, WhatIsWrong } from "./kit.js";
import { clockMs, Icon, titleOf } from "./look.js";
import { useCell, useWindow } from "./page.js";
import { epoch, follow, get, path, query, wrongOf } from "./server.js";
/** @import { Line, Run, Wrong } from "../wire" */

const LINE = 20;
const LEVELS = ["trace", "debug", "info", "warn", "error"];
/** So many lines are on a page of the API. */
const AT_ONCE = 1000;
/** So many characters of a line are shown; all of it can be copied. */
const CUT = 2000;

/** A row: a line of text, or one of several. @typedef {{ line: Line, text: string, first: boolean }} Entry */

/** How often lines of the runs below one are asked for, in milliseconds: no stream has them. */
const TREE = 1000;

/** Loads the lines that are there, and follows what comes. `tree`: also those of the runs below it.
 * @param {Run} run @param {boolean} still @param {boolean} tree */
function useLines(run, still, tree) {
  const lines = useMemo(() => /** @type {Line[]} */ ([]), [tree]);
  const after = useRef("0");
  const [version, setVersion] = useState(0);
  const [wrong, setWrong] = useState(/** @type {Wrong | undefined} */ (undefined));
  const healed = useCell(epoch);
  useEffect(() => {
    let stop = () => {};
    let closed = false;
    if (!lines.length) after.current = "0";
    const add = (/** @type {Line[]} */ more, /** @type {string} */ last) => {
      for (const it of more) lines.push(it);
      after.current = last;
      setVersion((it) => it + 1);
    };
    const load = async () => {
      for (let full = true; full; ) {
        const { items, next } = await get(path("flow-runs", run.id, "logs") + query({ after: after.current, ...(tree && { tree }) }));
        if (closed) return;
        add(items, next);
        full = items.length === AT_ONCE;
      }
      setWrong(undefined);
      if (!still && tree) {
        const timer = setTimeout(load, TREE);
        stop = () => clearTimeout(timer);
      } else if (!still) {
        stop = follow(path("flow-runs", run.id, "logs", "stream"), {
          from: after.current,
          on: (all) => add(all.map((it) => JSON.parse(it.data)), all.at(-1)?.id ?? after.current),
        });
      }
    };
    load().catch((error) => closed || setWrong(wrongOf(error)));
    return () => {
      closed = true;
      stop();
    };
  }, [run.round, still, healed, tree]);
  return { lines, version, wrong };
}

/** Who wrote a line: the call, by the name that people know it by. @param {Line} line @param {Map<number, string>} names */
const whoOf = (line, names) => `${line.run ? line.run + " " : ""}${(!line.run && names.get(line.call ?? 0)) || (line.task ? `${line.task}${line.run ? ` #${line.call}` : ""}` : "flow")}`;

/** @param {{ entry: Entry, names: Map<number, string> }} props */
const LogLine = ({ entry: { line, text, first }, names }) => html`<div class=${"entry level-" + line.level}>
  <time datetime=${line.at} title=${line.at}>${first && html`${clockMs(line.at).slice(0, 8)}<span class="millis">${clockMs(line.at).slice(8)}</span>`}</time>
  <b class=${"level-" + line.level}>${first && line.level.toUpperCase()}</b>
  <span class="who" title=${line.task ? `call ${line.call}, ${whoOf(line, names)}` : "the flow itself"}>${first && `${whoOf(line, names)}${line.attempt > 1 ? " ·" + line.attempt : ""}`}</span><span>${text}</span></div>`;

/** @param {{ run: Run, still: boolean }} props */
export function Logs({ run, still }) {
  const [tree, setTree] = useState(false);
  const { lines, version, wrong } = useLines(run, still, tree);
  const calls = (run.tasks ?? []).filter((it) => it.kind !== "sleep");
  const names = useMemo(() => new Map(calls.map((it) => [it.number, titleOf(it, calls)])), [run]);
  const [level, setLevel] = useState("trace");
  const [task, setTask] = useState("");
  const [text, setText] = useState("");
  const [following, setFollowing] = useState(!still);
  const box = useRef(/** @type {any} */ (null));
  const tasks = useMemo(() => [...new Set(lines.map((it) => it.task ?? ""))].filter(Boolean).sort(), [version]);
  const found = useMemo(() => ({ upTo: 0, entries: /** @type {Entry[]} */ ([]) }), [level, task, text, lines]);
  const entries = useMemo(() => {
    const least = LEVELS.indexOf(level);
    const wanted = text.toLowerCase();
    // Only what is new is looked at.
    for (; found.upTo < lines.length; found.upTo++) {
      const line = /** @type {Line} */ (lines[found.upTo]);
      if (LEVELS.indexOf(line.level) < least || (task && (task === "(flow)" ? line.task : line.task !== task))) continue;
      if (wanted && !line.message.toLowerCase().includes(wanted)) continue;
      const all = line.message.replace(/\n$/, "") + (line.fields ? "  " + JSON.stringify(line.fields) : "");
      all.split("\n").forEach((part, at) => found.entries.push({ line, text: part.slice(0, CUT), first: at === 0 }));
    }
    return found.entries;
  }, [version, found]);
  const shown = entries.length;
  // A retry is to be watched.
  useEffect(() => setFollowing(!still), [still]);
  const { first, last } = useWindow(box, shown, LINE, true);
  useEffect(() => {
    if (following) box.current.scrollTop = box.current.scrollHeight;
  }, [shown, following]);
  // Whoever scrolls up wants to read.
  const scrolled = ({ currentTarget: it }) => following && it.scrollHeight - it.scrollTop - it.clientHeight > 3 * LINE && setFollowing(false);
  const all = () => [...new Set(entries.map((it) => it.line))].map((it) => `${it.at} ${it.level} ${whoOf(it, names)} ${it.message}`).join("\n");
  const typed = (/** @type {(value: string) => void} */ set) => (event) => set(event.currentTarget.value);
  const option = (/** @type {string} */ value, /** @type {string} */ title, /** @type {string} */ chosen) => html`<option value=${value} selected=${value === chosen}>${title}</option>`;
  return html`<div class="log-tools">
      <select aria-label="Least level" value=${level} onChange=${typed(setLevel)}>${LEVELS.map((it) => option(it, it === "trace" ? "All levels" : `${it} and above`, level))}</select>
      <select aria-label="Task" value=${task} onChange=${typed(setTask)}>${option("", "Flow and tasks", task)}${option("(flow)", "Flow only", task)}${tasks.map((it) => option(it, it, task))}</select>
      <div class="search"><${Icon} name="search" /><input type="search" aria-label="Search the log" placeholder="Search the log" value=${text} onInput=${typed(setText)} /></div>
      ${run.children?.length ? html`<label class="check"><input type="checkbox" checked=${tree} onChange=${() => setTree(!tree)} /><span>With child runs</span></label>` : ""}
      ${!still && html`<${Button} icon="down" aria-pressed=${following} onClick=${() => setFollowing(!following)}>Follow<//>`}<${Copy} text=${all} label="Copy these lines" /></div>
    <${WhatIsWrong} wrong=${wrong} />
    <div class="log" ref=${box} tabindex="0" role="log" aria-label="Log" aria-live="off" onScroll=${scrolled}>
      ${shown === 0 && html`<${Empty} title=${lines.length ? "No line is like that" : still ? "It logged nothing" : "Nothing is logged yet"} />`}
      <div class="inner" style=${{ height: shown * LINE + "px" }}><div class="at" style=${{ transform: `translateY(${first * LINE}px)` }}>
        ${entries.slice(first, last).map((it, at) => html`<${LogLine} key=${first + at} entry=${it} names=${names} />`)}</div></div></div>
    <p class="muted small">${shown.toLocaleString("en")} of ${lines.length.toLocaleString("en")} lines</p>`;
}
