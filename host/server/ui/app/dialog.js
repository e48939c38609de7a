// @ts-check
// Dialogs: the browser keeps the focus within them, and gives it back.
import { html, signal, useEffect, useId, useRef } from "../vendor/preact.js";
import { Button } from "./button.js";
import { useAct } from "./load.js";
import { WhatIsWrong } from "./notes.js";
/** @import { ComponentChildren } from "../vendor/preact.js" */

/**
 * @param {{ title: ComponentChildren, close: () => void, wide?: boolean, children?: ComponentChildren, actions?: ComponentChildren,
 *   submit?: () => unknown }} props `submit` is done when Enter is pressed in a field.
 */
export function Dialog({ title, close, wide, children, actions, submit }) {
  const it = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  useEffect(() => {
    const dialog = it.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  const onSubmit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void submit?.();
  };
  const outside = (/** @type {MouseEvent} */ event) => event.target === it.current && close();
  return html`<dialog ref=${it} class=${wide ? "wide" : ""} aria-labelledby=${id} onClose=${close} onMouseDown=${outside}>
    <form onSubmit=${onSubmit} novalidate>
      <header><h2 id=${id}>${title}</h2><${Button} kind="quiet" icon="close" label="Close" onClick=${close} /></header>
      <div class="body">${children}</div>
      ${actions && html`<footer>${actions}</footer>`}
    </form>
  </dialog>`;
}

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {ComponentChildren} what What will happen.
 * @property {string} yes What the button says that does it.
 * @property {() => Promise<unknown>} act
 * @property {boolean} [danger]
 */

const question = signal(/** @type {Question | null} */ (null));

/** Asks before something is done. @param {Question} asked */
export const confirm = (asked) => void (question.value = asked);

/** Shows what is asked, if something is. */
export function Asked() {
  const { busy, wrong, act, clear } = useAct();
  const asked = question.value;
  if (!asked) return null;
  const close = () => {
    clear();
    question.value = null;
  };
  const yes = async () => {
    if (await act(asked.act)) close();
  };
  return html`<${Dialog} title=${asked.title} close=${close} submit=${yes} actions=${html`
    <${Button} onClick=${close}>Leave it<//>
    <${Button} kind=${asked.danger === false ? "primary" : "danger"} type="submit" busy=${busy}>${asked.yes}<//>`}>
    <p>${asked.what}</p><${WhatIsWrong} wrong=${wrong} />
  <//>`;
}
