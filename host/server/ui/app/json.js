// @ts-check
// JSON as it was sent, with its parts in colours, as text.
import { html, useState } from "../vendor/preact.js";
import { Button, Copy } from "./button.js";
import { size } from "./time.js";
/** @import { ComponentChildren } from "../vendor/preact.js" */
/** @import { Json } from "../wire" */

/** Characters that are shown before somebody asks for more. */
const SHOWN = 20_000;
const PART = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** @param {string} text @returns {ComponentChildren[]} */
function coloured(text) {
  /** @type {ComponentChildren[]} */
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(PART)) {
    parts.push(text.slice(at, found.index));
    const kind = found[2] ? "name" : found[1] ? "text" : "value";
    parts.push(html`<span class=${`json-${kind}`}>${found[1] ?? found[0]}</span>`, found[2] ?? "");
    at = found.index + found[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}

/** @param {{ value: Json | undefined, label: string }} props */
export function Value({ value, label }) {
  const [all, setAll] = useState(false);
  if (value === undefined) return html`<p class="muted">None.</p>`;
  const text = JSON.stringify(value, null, 2);
  const cut = !all && text.length > SHOWN;
  return html`<div class="value"><pre tabindex="0" role="region" aria-label=${label}>${coloured(cut ? text.slice(0, SHOWN) : text)}</pre>
    <${Copy} text=${text} label=${`Copy ${label}`} />
    ${cut && html`<${Button} onClick=${() => setAll(true)}>Show all ${size(text.length)}<//>`}</div>`;
}

/** One line of it. @param {Json | undefined} value @param {number} [most] */
export function brief(value, most = 80) {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > most ? text.slice(0, most - 1) + "…" : text;
}
