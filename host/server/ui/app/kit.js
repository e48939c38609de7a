// @ts-check
// What pages are made of: buttons, messages, dialogs, cards, tables.
import { html, useEffect, useId, useRef, useState } from "../vendor/preact.js";
import { coloured, Icon, size, ticked } from "./look.js";
import { useAct, useCell } from "./page.js";
import { ask, cell, refusal } from "./server.js";
/** @import { ComponentChildren } from "../vendor/preact.js" */
/** @import { Json, Wrong } from "../wire" */
/** @import { Loaded } from "./page.js" */

/** A button. One that may not be pressed stays there, and says why: `need` is a role, `not` another reason. */
export function Button({ onClick, children, kind, need, not, busy, icon, label, type = "button", class: more = "", ...rest }) {
  const why = refusal(need) ?? (not || undefined);
  const press = (event) => (why || busy ? event.preventDefault() : onClick?.(event));
  return html`<button type=${type} class=${`button ${kind ?? ""} ${children ? "" : "square"} ${more}`} onClick=${press} aria-label=${label}
    aria-disabled=${why || busy ? "true" : undefined} aria-busy=${busy ? "true" : undefined} title=${why ?? label} ...${rest}>
    ${icon && html`<${Icon} name=${busy ? "again" : icon} class=${busy ? "busy" : ""} />`}${children}</button>`;
}

/** Copies a text, or what a function returns. */
export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    const all = typeof text === "string" ? text : text();
    await (navigator.clipboard?.writeText(all) ?? Promise.reject()).catch(() => copyOldWay(all));
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<${Button} kind="quiet" class="copy" icon=${done ? "check" : "copy"} label=${done ? "Copied" : label} onClick=${copy} />`;
}

/** Pages that come over plain HTTP from another machine have no clipboard. @param {string} text */
function copyOldWay(text) {
  const field = document.createElement("textarea");
  field.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** A command, or something else to be copied. */
export const Command = ({ text, plain = false }) => html`<div class=${plain ? "command plain" : "command"}><code tabindex="0">${text}</code><${Copy} text=${text} /></div>`;

const said = cell(/** @type {string[]} */ ([]));

/** Says for some seconds that something was done. @param {string} text */
export function say(text) {
  const mine = [text];
  said.value = mine;
  setTimeout(() => said.value === mine && (said.value = []), 6000);
}

export const Said = () => html`<div class="said" role="status">${useCell(said).map((it) => html`<p key=${it}><${Icon} name="check" />${it}</p>`)}</div>`;

/** @param {{ wrong: Wrong | undefined, again?: () => unknown }} props */
export const WhatIsWrong = ({ wrong, again }) => wrong && html`<div class="wrong" role="alert"><${Icon} name="cross" /><div>
  <p><strong>${ticked(wrong.message)}</strong></p>${wrong.causes && html`<ul>${wrong.causes.slice(0, 20).map((it) => html`<li>${ticked(it)}</li>`)}</ul>`}
  <p class="muted">${ticked(wrong.hint)}${wrong.request_id && html` <small>(${wrong.request_id} in the server's log)</small>`}</p>
  ${again && html`<p><${Button} icon="again" onClick=${again}>Try again<//></p>`}</div></div>`;

/** @param {{ title: string, icon?: string, children?: ComponentChildren }} props */
export const Empty = ({ title, icon = "dashed", children }) => html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>${children}</div>`;

/** Shown after a moment only, so that what is quick does not flicker. */
export const Loading = () => html`<div class="loading" role="status"><span class="hidden">Loading</span><i></i><i></i><i></i></div>`;

/** What was loaded, or why not. @template T @param {Loaded<T>} of @param {(data: T) => ComponentChildren} how */
export function shown(of, how) {
  if (of.data === undefined) return of.wrong ? html`<${WhatIsWrong} wrong=${of.wrong} again=${of.reload} />` : html`<${Loading} />`;
  return how(of.data);
}

/** The head of a page. @param {{ title: ComponentChildren, under?: ComponentChildren, children?: ComponentChildren }} props */
export const Head = ({ title, under, children }) => html`<header class="head"><div><h1>${title}</h1>${under && html`<div class="muted">${under}</div>`}</div>
  ${children && html`<div class="actions">${children}</div>`}</header>`;

/** @param {{ title?: ComponentChildren, side?: ComponentChildren, class?: string, children?: ComponentChildren }} props */
export const Card = ({ title, side, class: more = "", children }) =>
  html`<section class=${"card " + more}>${title && html`<header><h2>${title}</h2>${side}</header>`}${children}</section>`;

/** Names and what they are; what is nothing is left out. @param {{ of: [name: string, what: ComponentChildren][] }} props */
export const Facts = ({ of }) => html`<dl class="facts">${of.map(([name, what]) => what && html`<div><dt>${name}</dt><dd>${what}</dd></div>`)}</dl>`;

/** Views of one thing, one at a time. @param {{ of: [id: string, title: string][], at: string, go: (id: string) => void, label: string }} props */
export function Tabs({ of, at, go, label }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step && of[(of.findIndex(([id]) => id === at) + step + of.length) % of.length];
    if (!next) return;
    go(next[0]);
    event.currentTarget.children[of.indexOf(next)].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>${of.map(([id, title]) =>
    html`<button type="button" role="tab" aria-selected=${id === at} tabindex=${id === at ? 0 : -1} onClick=${() => go(id)}>${title}</button>`)}</div>`;
}

/**
 * A table that is short enough to be in the document whole. On narrow screens each row is a card.
 * @template T
 * @param {string} label
 * @param {T[]} rows
 * @param {[title: string, cell: (row: T) => unknown, className?: string][]} columns
 */
export const table = (label, rows, columns) => html`<div class="scroll"><table class="table" role="table" aria-label=${label}>
  <thead role="rowgroup"><tr role="row">${columns.map(([title, , more]) => html`<th role="columnheader" scope="col" class=${more}>${title || html`<span class="hidden">Actions</span>`}</th>`)}</tr></thead>
  <tbody role="rowgroup">${rows.map((row) => html`<tr role="row">${columns.map(([title, cell, more]) => html`<td role="cell" class=${more} data-title=${title}><div>${cell(row)}</div></td>`)}</tr>`)}</tbody></table></div>`;

/** Buttons at the end of a row. @param {string} need @param {[text: string, onClick: () => unknown][]} all */
export const doings = (need, ...all) => all.map(([text, onClick]) => html`<${Button} class="small" need=${need} onClick=${onClick}>${text}<//>`);

/** Characters of JSON that are shown before somebody asks for more. */
const AT_MOST = 20_000;

/** JSON as it was sent. @param {{ value: Json | undefined, label: string }} props */
export function Value({ value, label }) {
  const [all, setAll] = useState(false);
  if (value === undefined) return html`<p class="muted">None.</p>`;
  const text = JSON.stringify(value, null, 2);
  const cut = !all && text.length > AT_MOST;
  return html`<div class="value"><pre tabindex="0" role="region" aria-label=${label}>${coloured(cut ? text.slice(0, AT_MOST) : text)}</pre>
    <${Copy} text=${text} label=${"Copy " + label} />${cut && html`<${Button} onClick=${() => setAll(true)}>Show all ${size(text.length)}<//>`}</div>`;
}

/**
 * A dialog: the browser keeps the focus within it, and gives it back. `submit` is done when Enter is pressed in a field.
 * @param {Record<string, any>} props
 */
export function Dialog({ title, close, wide, children, actions, submit }) {
  const it = useRef(/** @type {any} */ (null));
  const id = useId();
  useEffect(() => {
    const dialog = it.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  const onSubmit = (event) => {
    event.preventDefault();
    submit?.();
  };
  return html`<dialog ref=${it} class=${wide ? "wide" : ""} aria-labelledby=${id} onClose=${close} onMouseDown=${(event) => event.target === it.current && close()}>
    <form onSubmit=${onSubmit} novalidate><header><h2 id=${id}>${title}</h2><${Button} kind="quiet" icon="close" label="Close" onClick=${close} /></header>
    <div class="body">${children}</div>${actions && html`<footer>${actions}</footer>`}</form></dialog>`;
}

/** @typedef {{ title: string, what: ComponentChildren, yes: string, act: () => unknown, calm?: boolean }} Question */

const question = cell(/** @type {Question | null} */ (null));

/** Asks before something is done: says what will happen. @param {Question} asked */
export const confirm = (asked) => void (question.value = asked);

/** What is done when somebody is sure that something is to go. @param {string} at @param {string} done What is said then. @param {() => unknown} then */
export const removes = (at, done, then) => async () => {
  await ask("DELETE", at);
  say(done);
  await then();
};

/** Shows what is asked, if something is. */
export function Asked() {
  const it = useCell(question);
  return it && html`<${Sure} it=${it} close=${() => (question.value = null)} />`;
}

function Sure({ it, close }) {
  const { busy, wrong, act } = useAct();
  const yes = async () => (await act(it.act)) && close();
  return html`<${Dialog} title=${it.title} close=${close} submit=${yes} actions=${html`<${Button} onClick=${close}>Leave it<//>
    <${Button} kind=${it.calm ? "primary" : "danger"} type="submit" busy=${busy}>${it.yes}<//>`}><p>${it.what}</p><${WhatIsWrong} wrong=${wrong} /><//>`;
}
