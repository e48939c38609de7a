// @ts-check
// Signing in: a token is exchanged for a cookie that no script can read.
import { html, useState } from "../vendor/preact.js";
import { ask, get } from "./api.js";
import { Button, Command } from "./button.js";
import { Text } from "./field.js";
import { useAct } from "./load.js";
import { WhatIsWrong } from "./notes.js";
import { session } from "./session.js";
/** @import { Session, Wrong } from "../wire" */

/** @param {string} token */
async function signIn(token) {
  session.value = /** @type {Session} */ (await ask("POST", "/session", { token }));
}

/** Signs in with what `retake ui` put into the address, or goes on with the session that there is. */
export async function begin() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    // Neither the history nor whoever looks over a shoulder is to have it.
    history.replaceState(null, "", location.pathname + location.search);
    try {
      return await signIn(given);
    } catch (error) {
      if (/** @type {{ status?: number }} */ (error).status === 0) throw error;
    }
  }
  session.value = await /** @type {Promise<Session>} */ (get("/session")).catch((error) => {
    if (error.status === 401) return null;
    throw error;
  });
}

/** @param {{ wrong?: Wrong }} props */
export function SignIn({ wrong: before }) {
  const [token, setToken] = useState("");
  const { busy, wrong, act } = useAct();
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void act(() => signIn(token.trim()));
  };
  return html`<main class="sign-in" id="main" tabindex="-1"><form class="card" onSubmit=${submit}>
    <h1><img src="/ui/favicon.svg" width="32" height="32" alt="" />Sign in to Retake</h1>
    <${Text} label="Token" type="password" value=${token} set=${setToken} autofocus placeholder="rtk_…" />
    <${WhatIsWrong} wrong=${wrong ?? before} />
    <${Button} kind="primary" type="submit" busy=${busy} not=${!token.trim() && "Type a token first."}>Sign in<//>
    <p class="muted">On the server's machine this opens the page signed in:</p><${Command} text="retake ui" />
    <p class="muted">An admin makes a token with <code>retake tokens add NAME</code>; the server's first one is in the file <code>token</code> of its data directory.</p>
  </form></main>`;
}
