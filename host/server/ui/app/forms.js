// @ts-check
// Fields, each with its label, what it is for and what is wrong with it; forms made of them, and from a JSON Schema.
import { html, useEffect, useId, useState } from "../vendor/preact.js";
import { Button, Dialog, Tabs, WhatIsWrong } from "./kit.js";
import { length, ticked } from "./look.js";
import { useAct } from "./page.js";
import { exactly } from "./server.js";
/** @import { Json, Obj, Schema } from "../wire" */

/** A text, a choice of `options` (values, or values with titles), or with `rows` a longer text. */
export function Text({ label, value, set, hint, wrong, rows, options, type = "text", code, ...rest }) {
  const id = useId();
  const about = wrong || hint ? id + "-about" : undefined;
  const it = { id, value, "aria-describedby": about, "aria-invalid": wrong ? "true" : undefined, autocomplete: "off", spellcheck: false, class: code ? "code" : "", onInput: (event) => set(event.currentTarget.value), ...rest };
  return html`<div class="field"><label for=${id}>${label}</label>
    ${options ? html`<select ...${it}>${options.map((option) => {
      const [key, title] = [option].flat();
      return html`<option value=${key} selected=${key === value}>${title ?? key}</option>`;
    })}</select>` : rows ? html`<textarea rows=${rows} ...${it}></textarea>` : html`<input type=${type} ...${it} />`}
    ${about && html`<p id=${about} class=${wrong ? "bad-text" : "muted"}>${wrong || (typeof hint === "string" ? ticked(hint) : hint)}</p>`}</div>`;
}

export const Check = ({ label, checked, set, hint = "" }) => html`<label class="check"><input type="checkbox" checked=${checked} onChange=${(event) => set(event.currentTarget.checked)} />
  <span>${label}${hint && html`<small class="muted">${hint}</small>`}</span></label>`;

/** @param {{ legend: string, value: string, set: (value: string) => void, options: string[][] }} props Values, titles, hints. */
export function Choice({ legend, value, set, options }) {
  const name = useId();
  return html`<fieldset><legend>${legend}</legend>${options.map(([key = "", title, hint]) => html`<label class="check"><input type="radio" name=${name} value=${key} checked=${key === value}
    onChange=${() => set(key)} /><span>${title}${hint && html`<small class="muted">${hint}</small>`}</span></label>`)}</fieldset>`;
}

/**
 * A field: what it is called in what is sent, its label, and what `Text` takes. `as` says what it is read as; `must` that
 * it may not be empty; one that is empty otherwise is sent as `none`, or not at all.
 * @typedef {[name: string, label: string, more?: { as?: "json" | "length" | "number" | "list" | "check" | "mib" | "instant", must?: boolean, none?: Json, [more: string]: unknown }]} FieldOf
 */

/** @type {Record<string, [read: (text: string) => unknown, wrong: string]>} */
const READ = {
  json: [exactly, "This is not JSON: a text stands in double quotes."],
  length: [length, "Say it as 30 s, 5 min or 1 h."],
  number: [Number, "This is not a number."],
  instant: [Date.parse, "Say it as 2030-01-31 06:00."],
  mib: [(text) => Number(text) * (1 << 20), "This is not a number."],
  list: [(text) => text.split(",").map((it) => it.trim()).filter(Boolean), ""],
};

/** @param {FieldOf[1]} label @param {FieldOf[2]} how @param {any} typed @returns {{ value?: any, wrong?: string, missing?: boolean }} */
function readField(label, { as, must, none } = {}, typed) {
  if (as === "check") return { value: Boolean(typed) };
  const text = String(typed ?? "").trim();
  if (!text) return must ? { wrong: `Say first: ${label.toLowerCase()}.`, missing: true } : { value: none };
  const [read, wrong] = READ[as ?? ""] ?? [(it) => it, ""];
  try {
    const value = read(text);
    return Number.isNaN(value) ? { wrong } : { value };
  } catch {
    return { wrong };
  }
}

/** Reads fields; `wrong` is the first that is wrong. @param {(FieldOf | false)[]} of @param {Record<string, any>} it */
export function read(of, it) {
  /** @type {Record<string, any>} */
  const values = {};
  let wrong;
  for (const field of of) {
    if (!field) continue;
    const got = readField(field[1], field[2], it[field[0]]);
    wrong ??= got.missing ? got.wrong : got.wrong && `${field[1]}: ${got.wrong}`;
    if (got.value !== undefined) values[field[0]] = got.value;
  }
  return { values, wrong };
}

/** @param {{ of: (FieldOf | false)[], it: Record<string, any>, set: (it: Record<string, any>) => void }} props */
export const Fields = ({ of, it, set }) => html`<div class="two">${of.map((field) => {
  if (!field) return null;
  const [name, label, { as, must: _, none: __, ...more } = {}] = field;
  const change = (value) => set({ ...it, [name]: value });
  if (as === "check") return html`<${Check} key=${name} label=${label} checked=${it[name]} set=${change} ...${more} />`;
  const got = readField(label, field[2], it[name]);
  const json = as === "json" ? { rows: 4, code: true } : {};
  return html`<${Text} key=${name} label=${label} value=${it[name] ?? ""} set=${change} wrong=${got.missing ? undefined : got.wrong} ...${json} ...${more} />`;
})}</div>`;

/**
 * A dialog with fields. `fields` may depend on what is typed; `send` gets what was read, and what is typed.
 * @param {{ title: string, fields: (it: Record<string, any>) => (FieldOf | false)[], start?: Record<string, any>, yes?: string, need: string, wide?: boolean, about?: unknown,
 *   close: () => void, send: (values: Record<string, any>, it: Record<string, any>) => unknown, look?: (values: Record<string, any>, it: Record<string, any>) => Promise<unknown> }} props
 */
export function Editor({ title, fields, start = {}, yes = "Set it", need, wide, about, close, send, look }) {
  const [it, set] = useState(start);
  const [seen, setSeen] = useState(/** @type {unknown} */ (undefined));
  const { busy, wrong, act } = useAct();
  const of = fields(it);
  const got = read(of, it);
  const submit = () => got.wrong || act(() => send(got.values, it));
  return html`<${Dialog} title=${title} close=${close} wide=${wide} submit=${submit} actions=${html`
    ${look ? html`<${Button} not=${got.wrong} onClick=${() => act(async () => setSeen(await look(got.values, it)))}>Preview<//>` : html`<${Button} onClick=${close}>Leave it<//>`}
    <${Button} type="submit" kind="primary" need=${need} busy=${busy} not=${got.wrong}>${yes}<//>`}>
    <${Fields} of=${of} it=${it} set=${set} />${about && html`<p class="muted">${about}</p>`}${seen && html`<div role="status">${seen}</div>`}<${WhatIsWrong} wrong=${wrong} />
  <//>`;
}

/** What counts instead of the metadata, for a run, a round or a deployment. @type {FieldOf[]} */
export const POLICY = [
  ["retries", "Retries", { as: "number", placeholder: "as its metadata says" }], ["retry_delay_ms", "Wait before each", { as: "length", placeholder: "30 s" }],
  ["timeout_ms", "Timeout of an attempt", { as: "length", placeholder: "5 min" }], ["memory_bytes", "Memory in MiB", { as: "mib", placeholder: "64" }],
];

/** @param {Schema | undefined} schema @param {Schema} root @returns {Schema} */
function whole(schema, root) {
  let it = schema ?? {};
  for (let depth = 0; it.$ref && depth < 8; depth++) {
    const { $ref: way, ...beside } = it;
    it = { ...(root.$defs ?? root.definitions ?? {})[way.split("/").pop() ?? ""], ...beside };
  }
  const parts = it.anyOf ?? it.oneOf;
  const some = parts?.filter((part) => part.type !== "null");
  // A value that may be null.
  if (parts && some?.length === 1 && some.length < parts.length) return { ...whole(some[0], root), ...it, anyOf: undefined, oneOf: undefined, nullable: true };
  return it.allOf?.length === 1 ? { ...whole(it.allOf[0], root), ...it, allOf: undefined } : it;
}

/** @param {Schema} schema @returns {[value: Json, title: string][] | undefined} */
function choices(schema) {
  if (schema.enum) return schema.enum.map((it) => [it, String(it)]);
  const all = schema.oneOf ?? schema.anyOf;
  if (!all?.length || !all.every((it) => it.const !== undefined || it.enum?.length)) return undefined;
  return all.flatMap((it) => (it.enum ?? [it.const ?? null]).map((value) => /** @type {[Json, string]} */ ([value, it.description ? `${value}: ${it.description}` : String(value)])));
}

/** @param {Schema} schema */
const mayBeNull = (schema) => schema.nullable || [schema.type].flat().includes("null");

/** @param {Schema} schema */
const typeOf = (schema) => [schema.type].flat().find((it) => it !== "null") ?? "";

/** The defaults, and what is given. @param {Schema} schema @param {Obj} had @returns {Obj} */
export function startOf(schema, had) {
  const defaults = Object.entries(schema.properties ?? {}).flatMap(([name, it]) => (it.default === undefined ? [] : [[name, it.default]]));
  return { ...Object.fromEntries(defaults), ...had };
}

/** Only what differs is sent: the others stay as they are. @param {Obj} had @param {Obj} now @returns {Obj | undefined} */
export function changes(had, now) {
  const differ = Object.entries(now).filter(([name, value]) => JSON.stringify(had[name]) !== JSON.stringify(value));
  return differ.length ? Object.fromEntries(differ) : undefined;
}

/** Reads what is typed for one parameter, or null. @param {string | null} text @param {Schema} schema @returns {{ value?: Json, wrong?: string }} */
function parameterOf(text, schema) {
  if (text === null) return { value: null };
  const found = choices(schema)?.find(([it]) => JSON.stringify(it) === text);
  if (choices(schema)) return found ? { value: found[0] } : {};
  const type = typeOf(schema);
  if (type === "string") return { value: text };
  if (!text.trim()) return {};
  const isWhole = type === "integer";
  if (isWhole || type === "number") {
    const n = Number(text);
    if (Number.isNaN(n) || (isWhole && !Number.isInteger(n))) return { wrong: `This is not a ${isWhole ? "whole " : ""}number.` };
    if (n < (schema.minimum ?? -Infinity)) return { wrong: `At least ${schema.minimum}.` };
    if (n > (schema.maximum ?? Infinity)) return { wrong: `At most ${schema.maximum}.` };
    // All of its digits, where a `number` has room for fewer.
    return { value: /^-?\d+$/.test(text.trim()) ? exactly(text.trim().replace(/^(-?)0+(?=\d)/, "$1")) : n };
  }
  try {
    return { value: exactly(text) };
  } catch {
    return { wrong: "This is not JSON." };
  }
}

/** @param {{ name: string, schema: Schema, text: string | null | undefined, required: boolean, set: (text: string | null | undefined) => void }} props */
function Parameter({ name, schema, text, required, set }) {
  const about = [schema.description, !required && schema.default === undefined && "May be left out."].filter(Boolean).join(" ");
  const label = html`${name}${required && html`<span class="muted" title="It must be given"> *</span>`}`;
  const type = typeOf(schema);
  const isNullable = mayBeNull(schema);
  /** @type {[Json, string][] | undefined} */
  const all = choices(schema) ?? (type === "boolean" && (isNullable || (required && schema.default === undefined)) ? [[true, "true"], [false, "false"]] : undefined);
  const it = { label, hint: about, value: text ?? "" };
  if (all) {
    const options = [...(required && text ? [] : [["", "(left out)"]]), ...all.map(([value, title]) => [JSON.stringify(value), title]), ...(isNullable ? [["null", "null"]] : [])];
    return html`<${Text} ...${it} value=${text === null ? "null" : text ?? ""} set=${(typed) => set(typed === "null" && isNullable ? null : typed || undefined)} options=${options} />`;
  }
  if (type === "boolean") return html`<${Check} label=${name} hint=${about} checked=${text === "true"} set=${(on) => set(String(on))} />`;
  const isLong = !["string", "integer", "number"].includes(type);
  const field = html`<${Text} ...${it} wrong=${text === undefined ? undefined : parameterOf(text, schema).wrong} rows=${isLong && 3} code=${isLong} disabled=${text === null}
    placeholder=${text === null ? "null" : isLong ? "JSON" : (type === "string" && schema.format) || type} set=${(typed) => set(typed === "" && !required ? undefined : typed)} />`;
  // Unset, null and the text of that name are three things.
  return isNullable ? html`<div>${field}<${Check} label=${`${name} is null`} checked=${text === null} set=${(on) => set(on ? null : undefined)} /></div>` : field;
}

/** What is in the form. @typedef {{ value?: Obj, wrong?: string }} Written */

/** A form for a JSON Schema, and the same as raw JSON. @param {{ schema: Schema, start: Obj, set: (written: Written) => void }} props */
export function Parameters({ schema, start, set }) {
  const properties = Object.entries(schema.properties ?? {}).map(([name, it]) => /** @type {[string, Schema]} */ ([name, whole(it, schema)]));
  const required = schema.required ?? [];
  const textOf = (/** @type {Json | undefined} */ value, /** @type {Schema} */ it) => value === null && mayBeNull(it) ? null : !choices(it) && typeOf(it) === "string" && typeof value === "string" ? value : JSON.stringify(value);
  const textsOf = (/** @type {Obj} */ value) => Object.fromEntries(properties.map(([name, it]) => [name, value[name] === undefined ? undefined : textOf(value[name], it)]));
  const [tab, setTab] = useState("form");
  const [texts, setTexts] = useState(() => textsOf(start));
  const [raw, setRaw] = useState("");
  // What the form has no field for stays as it is.
  const [rest, setRest] = useState(start);
  const fromForm = () => {
    const value = { ...rest };
    let wrong;
    for (const [name, it] of properties) {
      const text = texts[name];
      const got = text === undefined ? {} : parameterOf(text, it);
      delete value[name];
      if (got.value !== undefined) value[name] = got.value;
      else if (got.wrong || required.includes(name)) wrong = `${name}: ${got.wrong ?? "it is missing."}`;
    }
    return { value, wrong };
  };
  /** @returns {Written} */
  const fromRaw = () => {
    try {
      const value = exactly(raw || "{}");
      return value && typeof value === "object" && !Array.isArray(value) ? { value } : { wrong: "This is not a JSON object." };
    } catch (error) {
      return { wrong: `This is not JSON: ${/** @type {Error} */ (error).message}` };
    }
  };
  const now = tab === "form" ? fromForm() : fromRaw();
  useEffect(() => set(now.wrong ? { wrong: now.wrong } : { value: now.value }), [JSON.stringify(now)]);
  const change = (/** @type {string} */ to) => {
    if (to === "raw") setRaw(JSON.stringify(fromForm().value, null, 2));
    else {
      const { value } = fromRaw();
      if (!value) return;
      setTexts(textsOf(value));
      setRest(value);
    }
    setTab(to);
  };
  return html`<div><${Tabs} label="Parameters" of=${[["form", "Form"], ["raw", "Raw JSON"]]} at=${tab} go=${change} />
    ${tab === "raw" ? html`<${Text} label="Parameters, as JSON" value=${raw} set=${setRaw} rows="10" code wrong=${now.wrong} />`
      : html`<div class="form">${properties.length === 0 && html`<p class="muted">It takes no parameters.</p>`}
        ${properties.map(([name, it]) => html`<${Parameter} key=${name} name=${name} schema=${it} text=${texts[name]} required=${required.includes(name)} set=${(text) => setTexts({ ...texts, [name]: text })} />`)}</div>`}</div>`;
}
