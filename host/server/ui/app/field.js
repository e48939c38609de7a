// @ts-check
// Fields of forms, each with its label, what it is for, and what is wrong with it.
import { html, useId } from "../vendor/preact.js";
/** @import { ComponentChildren } from "../vendor/preact.js" */

/**
 * @param {{ label: ComponentChildren, hint?: ComponentChildren, wrong?: string, class?: string,
 *   children: (attributes: Record<string, unknown>) => ComponentChildren }} props
 */
export function Field({ label, hint, wrong, class: more = "", children }) {
  const id = useId();
  const about = wrong || hint ? id + "-about" : undefined;
  return html`<div class=${`field ${more}`}>
    <label for=${id}>${label}</label>
    ${children({ id, "aria-describedby": about, "aria-invalid": wrong ? "true" : undefined })}
    ${about && html`<p id=${about} class=${wrong ? "bad-text" : "muted"}>${wrong || hint}</p>`}
  </div>`;
}

/**
 * @param {{ label: ComponentChildren, value: string, set: (value: string) => void, hint?: ComponentChildren, wrong?: string, type?: string,
 *   placeholder?: string, rows?: number, options?: (string | [value: string, title: string])[], list?: string[], autofocus?: boolean,
 *   code?: boolean, class?: string }} props
 */
export function Text({ label, value, set, hint, wrong, type = "text", placeholder, rows, options, list, autofocus, code, class: more }) {
  const id = useId();
  const onInput = (/** @type {Event} */ event) => set(/** @type {HTMLInputElement} */ (event.currentTarget).value);
  return html`<${Field} label=${label} hint=${hint} wrong=${wrong} class=${more}>${(/** @type {Record<string, unknown>} */ it) => {
    if (options) {
      return html`<select ...${it} value=${value} onChange=${onInput}>${options.map((option) => {
        const [key, title] = typeof option === "string" ? [option, option] : option;
        return html`<option value=${key} selected=${key === value}>${title}</option>`;
      })}</select>`;
    }
    if (rows) return html`<textarea ...${it} class=${code ? "code" : ""} rows=${rows} value=${value} onInput=${onInput} spellcheck=${!code} placeholder=${placeholder}></textarea>`;
    return html`<input ...${it} type=${type} value=${value} onInput=${onInput} placeholder=${placeholder} autofocus=${autofocus}
      autocomplete="off" spellcheck="false" list=${list && id} class=${code ? "code" : ""} />
      ${list && html`<datalist id=${id}>${list.map((one) => html`<option value=${one} />`)}</datalist>`}`;
  }}<//>`;
}

/** @param {{ label: ComponentChildren, checked: boolean, set: (checked: boolean) => void, hint?: ComponentChildren }} props */
export function Check({ label, checked, set, hint }) {
  return html`<label class="check"><input type="checkbox" checked=${checked}
    onChange=${(/** @type {Event} */ event) => set(/** @type {HTMLInputElement} */ (event.currentTarget).checked)} />
    <span>${label}${hint && html`<small class="muted">${hint}</small>`}</span></label>`;
}

/**
 * @param {{ legend: string, value: string, set: (value: string) => void, options: [value: string, title: ComponentChildren, hint?: ComponentChildren][] }} props
 */
export function Choice({ legend, value, set, options }) {
  const name = useId();
  return html`<fieldset class="choice"><legend>${legend}</legend>
    ${options.map(([key, title, hint]) => html`<label class="check"><input type="radio" name=${name} value=${key} checked=${key === value}
      onChange=${() => set(key)} /><span>${title}${hint && html`<small class="muted">${hint}</small>`}</span></label>`)}
  </fieldset>`;
}
