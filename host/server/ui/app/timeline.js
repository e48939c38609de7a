// @ts-check
// From what happened in a run to the bars of its timeline: a row for the flow and one for each call.
import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { hueOf, Icon, iconOf, isStill, isWorkedOn, titleOf, took } from "./look.js";
import { useWindow } from "./page.js";
/** @import { Attempt, Live, Run, Task } from "../wire" */

/** @typedef {{ from: number, to: number, hue: string, title: string, open?: boolean }} Bar */
/** @typedef {{ id: number, name: string, number?: string, state: string, bars: Bar[], end: string, task?: Task }} Row */
/** What is known of an attempt of a call that has not ended. @typedef {{ name: string, attempt: number, began: number }} Open */

/** @param {Attempt} it */
const outcome = (it) => (it.failure ? `${it.failure.code}: ${it.failure.message.slice(0, 200)}` : "succeeded");

/** Bars of attempts, and of the waits between them. @param {Attempt[]} attempts @param {string} what */
function attempted(attempts, what) {
  /** @type {Bar[]} */
  const bars = [];
  for (const it of attempts) {
    const [from, to] = [Date.parse(it.began), Date.parse(it.ended)];
    const before = bars.at(-1);
    if (before && from - before.to > 1) bars.push(waiting(before.to, from));
    bars.push({ from, to, hue: it.failure ? "bad" : "good", title: `${what} ${it.attempt}: ${took(it.took_ms)}, ${outcome(it)}` });
  }
  return bars;
}

/** @param {number} from @param {number} to @returns {Bar} */
const waiting = (from, to) => ({ from, to, hue: "wait", title: `waited ${took(to - from)}` });

/** @param {Run} run @param {number} now @returns {Row} */
function flowRow(run, now) {
  const bars = attempted(run.attempts ?? [], "Attempt");
  const last = bars.at(-1);
  const began = run.began ? Date.parse(run.began) : undefined;
  if (isWorkedOn(run.state) && began !== undefined) {
    if (last && began > last.to) bars.push(waiting(last.to, began));
    bars.push({ from: began, to: Math.max(began, now), hue: "busy", title: `Attempt ${run.attempt}: since ${took(now - began)}`, open: true });
  } else if (run.due && Date.parse(run.due) > now) {
    const from = last?.to ?? Date.parse(run.created);
    bars.push({ ...waiting(from, Date.parse(run.due)), title: `goes on in ${took(Date.parse(run.due) - now)}` });
  }
  return { id: 0, name: run.flow, state: run.state, bars, end: took(isWorkedOn(run.state) && began ? now - began : run.took_ms) };
}

/** @param {Task} task @param {Task[]} all @param {Open | undefined} open @param {number} now @returns {Row} */
function callRow(task, all, open, now) {
  const name = titleOf(task, all);
  if (task.state === "Running") {
    const row = { id: task.number, name, state: task.state, bars: attempted(task.earlier_attempts, "Attempt"), end: "", task };
    return opened(row, { name, attempt: task.attempts, began: Date.parse(task.began) }, now);
  }
  /** @type {Attempt} */
  const last = { attempt: task.attempts, began: task.began, ended: task.ended, took_ms: task.took_ms, failure: task.failure, evidence: task.evidence };
  const bars = attempted([...task.earlier_attempts, last], "Attempt");
  const end = bars.at(-1);
  if (end && task.kind === "sleep") end.hue = "wait";
  if (end && ["Cancelled", "Forgotten"].includes(task.state)) end.hue = "idle";
  if (end && task.by_hand) end.title += "; its result was set by hand";
  const row = { id: task.number, name, state: task.state, bars, end: took(task.took_ms), task };
  if (open && open.attempt > task.attempts) return opened(row, open, now);
  if (end && task.state === "AwaitingRetry" && task.due) bars.push({ ...waiting(end.to, Math.max(end.to, Date.parse(task.due))), title: "waits for its retry" });
  return row;
}

/** @param {Row} row @param {Open} open @param {number} now @returns {Row} */
function opened(row, open, now) {
  const last = row.bars.at(-1);
  if (last && open.began - last.to > 1) row.bars.push(waiting(last.to, open.began));
  row.bars.push({ from: open.began, to: Math.max(open.began, now), hue: "busy", title: `Attempt ${open.attempt}: since ${took(now - open.began)}`, open: true });
  return { ...row, state: open.attempt > 1 ? "Retrying" : "Running", end: took(now - open.began) };
}

/**
 * @param {Run} run @param {Map<number, Open>} open @param {number} now
 * @returns {Row[]}
 */
function rows(run, open, now) {
  const tasks = run.tasks ?? [];
  const seen = new Set(tasks.map((it) => it.number));
  const calls = tasks.map((it) => callRow(it, tasks, open.get(it.number), now));
  for (const [number, it] of open) {
    if (!seen.has(number)) calls.push(opened({ id: number, name: it.name, state: "Running", bars: [], end: "" }, it, now));
  }
  calls.sort((a, b) => a.id - b.id);
  /** @type {Map<string, number>} */
  const names = new Map();
  for (const it of calls) names.set(it.name, (names.get(it.name) ?? 0) + 1);
  for (const it of calls) if ((names.get(it.name) ?? 0) > 1) it.number = `#${it.id}`;
  return [flowRow(run, now), ...calls];
}

/** Takes down what a live event says of calls that are open. @param {Map<number, Open>} open @param {Live} event @param {Run} run */
export function note(open, event, run) {
  if (event.kind === "attempt-began" || event.kind === "attempt-ended") open.clear();
  if (event.number === undefined) return;
  if (event.kind === "task-began") {
    const known = run.tasks?.find((it) => it.number === event.number);
    const attempt = event.attempt ?? 1;
    if (!known || known.attempts < attempt) open.set(event.number, { name: event.name ?? "", attempt, began: Date.parse(event.at) });
  }
}

/**
 * Where instants stand between 0 and 1. A time in which nothing happened takes little room, however long it was:
 * otherwise a night before a retry would leave a hair's breadth for what was done.
 * @param {Row[]} all
 */
function scale(all) {
  const spans = all.flatMap((row) => row.bars.filter((it) => it.hue !== "wait").map((it) => [it.from, it.to]));
  const waits = all.flatMap((row) => row.bars.filter((it) => it.hue === "wait").map((it) => it.to));
  spans.sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0));
  /** @type {[number, number][]} */
  const busy = [];
  for (const [from = 0, to = 0] of spans) {
    const last = busy.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else busy.push([from, to]);
  }
  const end = Math.max(...waits, busy.at(-1)?.[1] ?? 0);
  if (busy.length > 0 && end > (busy.at(-1)?.[1] ?? 0)) busy.push([end, end]);
  const active = Math.max(1, busy.reduce((sum, [from, to]) => sum + to - from, 0));
  const short = Math.max(active * 0.4, 4);
  /** @type {{ from: number, to: number, at: number, width: number, gap: boolean }[]} */
  const parts = [];
  let at = 0;
  const add = (from, to, width, gap) => {
    parts.push({ from, to, at, width, gap });
    at += width;
  };
  busy.forEach(([from, to], i) => {
    const before = busy[i - 1]?.[1];
    if (before !== undefined && from > before) {
      const isLong = from - before > short;
      add(before, from, isLong ? active * 0.12 : from - before, isLong);
    }
    add(from, to, Math.max(to - from, active * 0.002), false);
  });
  const total = at || 1;
  const x = (t) => {
    const part = parts.find((it) => t <= it.to) ?? parts.at(-1);
    if (!part) return 0;
    const share = part.to > part.from ? Math.min(1, Math.max(0, (t - part.from) / (part.to - part.from))) : 0;
    return (part.at + share * part.width) / total;
  };
  const gaps = parts.filter((it) => it.gap).map((it) => ({ at: it.at / total, width: it.width / total, title: took(it.to - it.from) }));
  return { x, gaps, ticks: ticks(parts, total, active) };
}

/** @param {{ from: number, to: number, at: number, width: number, gap: boolean }[]} parts @param {number} total @param {number} active */
function ticks(parts, total, active) {
  const begin = parts[0]?.from ?? 0;
  const rough = active / 5;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = [1, 2, 5, 10].map((it) => it * power).find((it) => it >= rough) ?? rough;
  /** @type {{ at: number, title: string }[]} */
  const all = [{ at: 0, title: "0" }];
  for (const it of parts) {
    if (it.gap || it.width < step * 0.5) continue;
    for (let t = begin + Math.ceil((it.from - begin) / step) * step; t <= it.to; t += step) {
      const at = (it.at + ((t - it.from) / Math.max(1, it.to - it.from)) * it.width) / total;
      if (at - (all.at(-1)?.at ?? 0) > 0.12 && at < 0.985) all.push({ at, title: took(t - begin) });
    }
  }
  return all;
}

const ROW = 32;

const percent = (share) => `${(share * 100).toFixed(3)}%`;

/** @param {{ bar: Bar, x: (t: number) => number }} props */
function Piece({ bar, x }) {
  const left = x(bar.from);
  return html`<i class=${bar.hue} title=${bar.title} style=${{ left: percent(left), width: percent(Math.max(0, x(bar.to) - left)) }}></i>`;
}

/** @param {{ row: Row, x: (t: number) => number, open: boolean, choose: (id: number) => void }} props */
function Line({ row, x, open, choose }) {
  const kind = row.task?.kind === "flow" ? "flows" : row.task?.kind === "sleep" ? "moon" : "";
  const inside = html`<span class="name"><${Icon} name=${iconOf(row.state)} class=${hueOf(row.state)} /><span title=${row.name}>${row.name}</span>
      ${row.number && html`<small class="muted">${row.number}</small>`}${kind && html`<${Icon} name=${kind} class="idle" />`}
      ${row.task?.by_hand && html`<span class="tag hand" title="A person set its result">by hand</span>`}</span>
    <span class="track">${row.bars.map((bar, at) => html`<${Piece} key=${at} bar=${bar} x=${x} />`)}</span>
    <span class="end"><span class="hidden">${row.state}, </span>${row.end}</span>`;
  if (row.id === 0) return html`<div class="row flow">${inside}</div>`;
  return html`<button type="button" class="row" aria-expanded=${open} onClick=${() => choose(row.id)}>${inside}</button>`;
}

/** @param {{ run: Run, open: Map<number, Open>, version: number, chosen: number | undefined, choose: (id: number | undefined) => void }} props */
export function Timeline({ run, open, version, chosen, choose }) {
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [now, setNow] = useState(Date.now);
  const still = isStill(run.state);
  useEffect(() => {
    if (still) return;
    const timer = setInterval(() => !document.hidden && setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [still]);
  const all = useMemo(() => rows(run, open, Date.now()), [run, version, now]);
  const { x, gaps, ticks } = useMemo(() => scale(all), [all]);
  const { first, last, above, below } = useWindow(list, all.length, ROW, true);
  const toggle = (id) => choose(chosen === id ? undefined : id);
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
