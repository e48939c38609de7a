// @ts-check
// What is said to whoever looks: that something was done, that something is wrong, that nothing is there.
import { html, signal } from "../vendor/preact.js";
import { Button } from "./button.js";
import { Icon } from "./icons.js";
/** @import { ComponentChildren } from "../vendor/preact.js" */
/** @import { Wrong } from "../wire" */

const said = signal(/** @type {{ id: number, text: string }[]} */ ([]));
let ids = 0;

/** Says for some seconds that something was done. @param {string} text */
export function say(text) {
  const id = ++ids;
  said.value = [...said.value.slice(-2), { id, text }];
  setTimeout(() => (said.value = said.value.filter((it) => it.id !== id)), 6000);
}

export const Said = () => html`<div class="said" role="status" aria-live="polite">
  ${said.value.map((it) => html`<p key=${it.id}><${Icon} name="check" />${it.text}</p>`)}
</div>`;

/** @param {{ wrong: Wrong | undefined, again?: () => unknown }} props */
export function WhatIsWrong({ wrong, again }) {
  if (!wrong) return null;
  return html`<div class="wrong" role="alert"><${Icon} name="cross" /><div>
    <p><strong>${wrong.message}</strong></p>
    ${wrong.causes && html`<ul>${wrong.causes.slice(0, 20).map((it) => html`<li>${it}</li>`)}</ul>`}
    ${wrong.hint && html`<p class="muted">${wrong.hint}</p>`}
    ${wrong.request_id && html`<p class="muted small">The server's log calls the request <code>${wrong.request_id}</code>.</p>`}
    ${again && html`<p><${Button} icon="again" onClick=${again}>Try again<//></p>`}
  </div></div>`;
}

/** @param {{ title: string, icon?: string, children?: ComponentChildren }} props */
export const Empty = ({ title, icon = "dashed", children }) =>
  html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>${children}</div>`;

/** Shown after a moment only, so that what is quick does not flicker. */
export const Loading = () => html`<div class="loading" role="status"><span class="hidden">Loading</span><i></i><i></i><i></i></div>`;

/**
 * What was loaded, or why not.
 * @template T
 * @param {{ of: { data: T | undefined, wrong: Wrong | undefined, reload: () => unknown }, children: (data: T) => ComponentChildren }} props
 */
export function Show({ of, children }) {
  if (of.data === undefined) return of.wrong ? html`<${WhatIsWrong} wrong=${of.wrong} again=${of.reload} />` : html`<${Loading} />`;
  return html`${of.wrong && of.wrong.code !== "unreachable" && html`<${WhatIsWrong} wrong=${of.wrong} />`}${children(of.data)}`;
}

/** The head of a page. @param {{ title: ComponentChildren, under?: ComponentChildren, children?: ComponentChildren }} props */
export const Head = ({ title, under, children }) => html`<header class="head">
  <div><h1>${title}</h1>${under && html`<p class="muted">${under}</p>`}</div>
  ${children && html`<div class="actions">${children}</div>`}
</header>`;

/** @param {{ title?: ComponentChildren, side?: ComponentChildren, class?: string, children?: ComponentChildren }} props */
export const Card = ({ title, side, class: more = "", children }) => html`<section class=${`card ${more}`}>
  ${title && html`<header><h2>${title}</h2>${side}</header>`}${children}
</section>`;

/** Names and what they are. @param {{ of: [name: string, what: ComponentChildren][] }} props */
export const Facts = ({ of }) =>
  html`<dl class="facts">${of.filter(([, what]) => what !== null && what !== undefined && what !== false)
    .map(([name, what]) => html`<div><dt>${name}</dt><dd>${what}</dd></div>`)}</dl>`;

/** Views of one thing, one of them at a time. @param {{ of: [id: string, title: string][], at: string, go: (id: string) => void, label: string }} props */
export function Tabs({ of, at, go, label }) {
  const move = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = of[(of.findIndex(([id]) => id === at) + step + of.length) % of.length];
    if (!next) return;
    go(next[0]);
    const tab = /** @type {HTMLElement} */ (event.currentTarget).querySelectorAll("button")[of.indexOf(next)];
    tab?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${of.map(([id, title]) => html`<button type="button" role="tab" aria-selected=${id === at} tabindex=${id === at ? 0 : -1}
      onClick=${() => go(id)}>${title}</button>`)}
  </div>`;
}
