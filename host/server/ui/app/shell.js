// @ts-check
// What is around every page: the way to the others, who is signed in, and whether the server answers.
import { html, useEffect, useState } from "../vendor/preact.js";
import { Text } from "./forms.js";
import { Asked, Button, Command, Dialog, Said, WhatIsWrong } from "./kit.js";
import { Icon, now } from "./look.js";
import { go, place, useAct, useCell } from "./page.js";
import { ask, cell, get, lostUntil, session, tryNow, wrongOf } from "./server.js";
/** @import { Wrong } from "../wire" */

/** @type {[title: string, places: [to: string, title: string, icon: string, key: string][]][]} */
const PLACES = [
  ["Work", [
    ["/runs", "Runs", "runs", "r"], ["/flows", "Flows", "flows", "f"], ["/deployments", "Deployments", "deployments", "d"],
    ["/schedules", "Schedules", "calendar", "s"], ["/upload", "Upload", "upload", "u"],
  ]],
  ["Operate", [["/notifications", "Notifications", "bell", "n"], ["/queues", "Work queues", "queue", "q"], ["/nodes", "Nodes", "node", "o"]]],
  ["Manage", [
    ["/values", "Secrets, variables", "key", "v"], ["/tokens", "Tokens", "token", "t"], ["/audit", "Audit", "audit", "a"], ["/settings", "Settings", "settings", "e"],
  ]],
];
const ALL = PLACES.flatMap(([, places]) => places);
const MAIN = ["/runs", "/flows", "/deployments", "/upload"];

/** Which of the dialogs of the shell is open. */
const open = cell("");
const theme = cell(document.documentElement.dataset.theme ?? "auto");

function nextTheme() {
  const next = { auto: "light", light: "dark", dark: "auto" }[theme.value] ?? "auto";
  theme.value = next;
  localStorage.setItem("theme", next);
  document.documentElement.dataset.theme = next;
}

const signOut = () => ask("DELETE", "/session").catch(() => {}).then(() => (session.value = null));

function Way({ of: [to, title, icon] }) {
  const at = useCell(place).pathname;
  const here = at === to || at.startsWith(to + "/") || (to === "/runs" && at === "/") || (to === "/flows" && at.startsWith("/components"));
  return html`<a href=${to} class="way" aria-current=${here ? "page" : undefined}><${Icon} name=${icon} />${title}</a>`;
}

const Ways = () => PLACES.map(([title, places]) => html`<div role="group" aria-label=${title}><p class="over">${title}</p>${places.map((it) => html`<${Way} of=${it} />`)}</div>`);

function Person() {
  const { name, role } = session.value ?? {};
  const colours = useCell(theme);
  return html`<div class="person"><span title=${`Signed in with the token “${name}”`}><b>${name}</b><small class="muted">${role}</small></span>
    <${Button} kind="quiet" icon=${{ dark: "moon", light: "sun" }[colours] ?? "auto"} label=${"Colours: " + colours} onClick=${nextTheme} />
    <${Button} kind="quiet" icon="out" label="Sign out" onClick=${signOut} /></div>`;
}

/** Says that the connection is lost, and when it is tried again. */
function Lost() {
  const until = useCell(lostUntil);
  const seconds = Math.max(0, Math.ceil(((until ?? 0) - useCell(now)) / 1000));
  return html`<div class=${until === null ? "lost" : "lost there"}><span role="status">${until !== null && "The server does not answer. What you see may be old."}</span>
    ${until !== null && html`<span class="muted">${seconds > 0 ? `Next try in ${seconds} s` : "Trying…"}</span><${Button} onClick=${tryNow}>Try now<//>`}</div>`;
}

const close = () => (open.value = "");

const Help = () => html`<${Dialog} title="Keyboard" close=${close}><dl class="keys">
  ${[["/", "Search"], ["?", "This help"], ["Esc", "Close"], ...ALL.map(([, title, , key]) => ["g " + key, title])].map(([keys, what]) => html`<div><dt>${keys?.split(" ").map((it) => html`<kbd>${it}</kbd> `)}</dt><dd>${what}</dd></div>`)}</dl>
  <p class="muted">The HTTP API is described at <a href="/docs/" target="_blank">/docs/</a>, the command line by <code>retake help</code>.</p><//>`;

let began = 0;
/** @param {KeyboardEvent} event */
function shortcut(event) {
  const types = event.target instanceof Element && event.target.matches("textarea, select, input:not([type=checkbox], [type=radio])");
  if (types || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const to = Date.now() - began < 1500 && ALL.find(([, , , key]) => key === event.key)?.[0];
  began = event.key === "g" ? Date.now() : 0;
  const field = document.querySelector("input[type=search]");
  if (to) go(to);
  else if (event.key === "?") open.value = "help";
  else if (event.key === "/" && field instanceof HTMLElement) field.focus();
  else return;
  event.preventDefault();
}

export function Shell({ children }) {
  const dialog = useCell(open);
  useEffect(() => {
    document.addEventListener("keydown", shortcut);
    return () => document.removeEventListener("keydown", shortcut);
  }, []);
  return html`<a class="skip" href="#main">Skip to the page</a><div class="shell">
      <nav class="side" aria-label="Pages"><a href="/runs" class="brand"><img src="/ui/favicon.svg" width="24" height="24" alt="" />Retake</a><div class="ways"><${Ways} /></div><${Person} /></nav>
      <div class="middle"><${Lost} /><main id="main" tabindex="-1">${children}</main></div>
      <nav class="bar" aria-label="Main pages">${ALL.filter(([to]) => MAIN.includes(to)).map((it) => html`<${Way} of=${it} />`)}
        <button type="button" class="way" aria-haspopup="dialog" onClick=${() => (open.value = "more")}><${Icon} name="more" />More</button></nav>
    </div>
    ${dialog === "help" && html`<${Help} />`}
    ${dialog === "more" && html`<${Dialog} title="Pages" close=${close}><nav class="ways" aria-label="All pages"><${Ways} /></nav><${Person} /><//>`}
    <${Asked} /><${Said} />`;
}

/** A token is exchanged for a cookie that no script can read. @param {string} token */
const signIn = async (token) => void (session.value = await ask("POST", "/session", { token }));

/** Signs in with what `retake ui` put into the address, or goes on with the session that there is. @returns {Promise<Wrong | undefined>} */
export async function begin() {
  const said = new URLSearchParams(location.hash.slice(1));
  const given = said.get("code") ?? said.get("token");
  let wrong;
  if (given) {
    // Neither the history nor whoever looks over a shoulder is to have it.
    history.replaceState(null, "", location.pathname + location.search);
    wrong = await signIn(given).then(() => undefined, wrongOf);
    if (session.value) return undefined;
  }
  await get("/session").then((it) => (session.value = it), (error) => {
    if (error.status !== 401) throw error;
    session.value = null;
  });
  return wrong;
}

/** @param {{ wrong?: Wrong }} props */
export function SignIn({ wrong: before }) {
  const [token, setToken] = useState("");
  const { busy, wrong, act } = useAct();
  const submit = (event) => {
    event.preventDefault();
    void act(() => signIn(token.trim()));
  };
  return html`<main class="sign-in" id="main" tabindex="-1"><form class="card" onSubmit=${submit}>
    <h1><img src="/ui/favicon.svg" width="32" height="32" alt="" />Sign in to Retake</h1>
    <${Text} label="Token" type="password" value=${token} set=${setToken} autofocus placeholder="rtk_…" />
    <${WhatIsWrong} wrong=${wrong ?? before} />
    <${Button} kind="primary" type="submit" busy=${busy} not=${!token.trim() && "Type a token first."}>Sign in<//>
    <p class="muted">An admin makes a token with <code>retake tokens add NAME</code>; the server's first one is in the file <code>token</code> of its data directory.
      On the server's machine this opens the page signed in:</p><${Command} text="retake ui" /></form></main>`;
}
