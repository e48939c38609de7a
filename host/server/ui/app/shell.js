// @ts-check
// What is around every page: the way to the others, who is signed in, and whether the server answers.
import { html, signal, useEffect } from "../vendor/preact.js";
import { ask } from "./api.js";
import { Button } from "./button.js";
import { lostUntil, tryNow } from "./connection.js";
import { Asked, Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { Said } from "./notes.js";
import { go, place } from "./route.js";
import { session } from "./session.js";
import { now } from "./time.js";
/** @import { ComponentChildren } from "../vendor/preact.js" */

/** @type {[title: string, places: [to: string, title: string, icon: string, key: string][]][]} */
const PLACES = [
  ["Work", [
    ["/runs", "Runs", "runs", "r"], ["/flows", "Flows", "flows", "f"], ["/deployments", "Deployments", "deployments", "d"],
    ["/schedules", "Schedules", "calendar", "s"], ["/upload", "Upload", "upload", "u"],
  ]],
  ["Operate", [["/notifications", "Notifications", "bell", "n"], ["/queues", "Work queues", "queue", "q"], ["/nodes", "Nodes", "node", "o"]]],
  ["Manage", [
    ["/values", "Secrets, variables", "key", "v"], ["/tokens", "Tokens", "token", "t"], ["/audit", "Audit", "audit", "a"],
    ["/settings", "Settings", "settings", "e"],
  ]],
];
const ALL = PLACES.flatMap(([, places]) => places);

const help = signal(false);
const more = signal(false);
const theme = signal(document.documentElement.dataset.theme ?? "auto");

function nextTheme() {
  const next = { auto: "light", light: "dark", dark: "auto" }[theme.value] ?? "auto";
  theme.value = next;
  if (next === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("theme");
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  }
}

async function signOut() {
  await ask("DELETE", "/session").catch(() => {});
  session.value = null;
}

/** @param {{ to: string, title: string, icon: string }} props */
function Way({ to, title, icon }) {
  const here = place.value.pathname === to || place.value.pathname.startsWith(to + "/") || (to === "/runs" && place.value.pathname === "/");
  return html`<a href=${to} class="way" aria-current=${here ? "page" : undefined}><${Icon} name=${icon} />${title}</a>`;
}

const Ways = () => PLACES.map(([title, places]) => html`<div role="group" aria-label=${title}><p class="over">${title}</p>
  ${places.map(([to, name, icon]) => html`<${Way} to=${to} title=${name} icon=${icon} />`)}</div>`);

const Person = () => html`<div class="person">
  <span title=${`Signed in with the token “${session.value?.name}”`}><b>${session.value?.name}</b><small class="muted">${session.value?.role}</small></span>
  <${Button} kind="quiet" icon=${theme.value === "dark" ? "moon" : theme.value === "light" ? "sun" : "auto"} label=${`Colours: ${theme.value}`} onClick=${nextTheme} />
  <${Button} kind="quiet" icon="out" label="Sign out" onClick=${signOut} />
</div>`;

/** Says that the connection is lost, and when it is tried again. */
function Lost() {
  const until = lostUntil.value;
  if (until === null) return html`<div class="lost" role="status"></div>`;
  const seconds = Math.max(0, Math.ceil((until - now.value) / 1000));
  return html`<div class="lost there"><span role="status">The server does not answer. What you see may be old.</span>
    <span class="muted">${seconds > 0 ? `Next try in ${seconds} s` : "Trying…"}</span><${Button} onClick=${tryNow}>Try now<//></div>`;
}

const Help = () => html`<${Dialog} title="Keyboard" close=${() => (help.value = false)}>
  <dl class="keys">
    <div><dt><kbd>/</kbd></dt><dd>Search</dd></div><div><dt><kbd>?</kbd></dt><dd>This help</dd></div>
    <div><dt><kbd>Esc</kbd></dt><dd>Close</dd></div>
    ${ALL.map(([, title, , key]) => html`<div><dt><kbd>g</kbd> <kbd>${key}</kbd></dt><dd>${title}</dd></div>`)}
  </dl>
  <p class="muted">The HTTP API is described at <a href="/docs/" target="_blank">/docs/</a>, and the command line by <code>retake help</code>.</p>
<//>`;

let began = 0;
/** @param {KeyboardEvent} event */
function shortcut(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const types = /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && !/^(checkbox|radio)$/.test(target.getAttribute("type") ?? "");
  if (types || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const to = Date.now() - began < 1500 ? ALL.find(([, , , key]) => key === event.key)?.[0] : undefined;
  began = event.key === "g" ? Date.now() : 0;
  const field = document.querySelector("input[type=search]");
  if (to) go(to);
  else if (event.key === "?") help.value = true;
  else if (event.key === "/" && field instanceof HTMLElement) field.focus();
  else return;
  event.preventDefault();
}

/** @param {{ children?: ComponentChildren }} props */
export function Shell({ children }) {
  useEffect(() => {
    document.addEventListener("keydown", shortcut);
    return () => document.removeEventListener("keydown", shortcut);
  }, []);
  return html`<a class="skip" href="#main">Skip to the page</a>
    <div class="shell">
      <nav class="side" aria-label="Pages">
        <a href="/runs" class="brand"><img src="/ui/favicon.svg" width="24" height="24" alt="" />Retake</a>
        <div class="ways"><${Ways} /></div>
        <${Person} />
      </nav>
      <div class="middle"><${Lost} /><main id="main" tabindex="-1">${children}</main></div>
      <nav class="bar" aria-label="Main pages">
        ${ALL.filter(([to]) => ["/runs", "/flows", "/deployments", "/upload"].includes(to)).map(([to, title, icon]) => html`<${Way} to=${to} title=${title} icon=${icon} />`)}
        <button type="button" class="way" aria-expanded=${more.value} onClick=${() => (more.value = true)}><${Icon} name="more" />More</button>
      </nav>
    </div>
    ${help.value && html`<${Help} />`}
    ${more.value && html`<${Dialog} title="Pages" close=${() => (more.value = false)}><nav class="ways" aria-label="All pages"><${Ways} /></nav><${Person} /><//>`}
    <${Asked} /><${Said} />`;
}
