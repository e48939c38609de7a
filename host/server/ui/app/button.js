// @ts-check
// Buttons. One that may not be pressed stays there, and says why.
import { html, useEffect, useState } from "../vendor/preact.js";
import { Icon } from "./icons.js";
import { refusal } from "./session.js";
/** @import { ComponentChildren } from "../vendor/preact.js" */
/** @import { Role } from "../wire" */

/**
 * @param {{ onClick?: (event: MouseEvent) => unknown, children?: ComponentChildren, kind?: "primary" | "danger" | "quiet",
 *   need?: Role, not?: string | false, busy?: boolean, icon?: string, label?: string, title?: string,
 *   type?: "button" | "submit", class?: string, pressed?: boolean, expanded?: boolean }} props
 * `not` is why it cannot be pressed now; `label` is its name where it shows only an icon.
 */
export function Button({ onClick, children, kind, need, not, busy, icon, label, title, type = "button", class: more = "", pressed, expanded }) {
  const why = refusal(need) ?? (not || undefined);
  const press = (/** @type {MouseEvent} */ event) => {
    if (why || busy) event.preventDefault();
    else onClick?.(event);
  };
  return html`<button type=${type} class=${`button ${kind ?? ""} ${children ? "" : "square"} ${more}`} onClick=${press}
    aria-disabled=${why || busy ? "true" : undefined} aria-busy=${busy ? "true" : undefined} aria-label=${label}
    aria-pressed=${pressed} aria-expanded=${expanded} title=${why ?? title ?? label}>
    ${icon && html`<${Icon} name=${busy ? "again" : icon} class=${busy ? "busy" : ""} />`}${children}
  </button>`;
}

/** @param {{ text: string | (() => string), label?: string, children?: ComponentChildren }} props */
export function Copy({ text, label = "Copy", children }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    const timer = done ? setTimeout(() => setDone(false), 1500) : 0;
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    const all = typeof text === "string" ? text : text();
    await (navigator.clipboard?.writeText(all) ?? Promise.reject()).catch(() => copyOldWay(all));
    setDone(true);
  };
  return html`<${Button} kind="quiet" class="copy" icon=${done ? "check" : "copy"} label=${done ? "Copied" : label} onClick=${copy}>${children}<//>`;
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

/** A command that can be copied. @param {{ text: string }} props */
export const Command = ({ text }) => html`<div class="command"><code>${text}</code><${Copy} text=${text} label="Copy the command" /></div>`;
