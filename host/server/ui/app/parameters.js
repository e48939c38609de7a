// @ts-check
// A form for a JSON Schema, and the same as raw JSON.
import { html, useEffect, useState } from "../vendor/preact.js";
import { Check, Text } from "./field.js";
import { Tabs } from "./notes.js";
/** @import { Json, Obj, Schema } from "../wire" */

/** What is in the form. @typedef {{ value?: Obj, wrong?: string }} Written */

/** @param {Schema | undefined} schema @param {Schema} root @returns {Schema} */
function whole(schema, root) {
  let it = schema ?? {};
  for (let depth = 0; it.$ref && depth < 8; depth++) {
    const name = it.$ref.split("/").pop() ?? "";
    const { $ref: _, ...beside } = it;
    it = { ...(root.$defs ?? root.definitions ?? {})[name], ...beside };
  }
  const parts = it.anyOf ?? it.oneOf;
  const some = parts?.filter((part) => part.type !== "null");
  // A value that may be left out.
  if (parts && some?.length === 1 && some.length < parts.length) return { ...whole(some[0], root), ...it, anyOf: undefined, oneOf: undefined };
  if (it.allOf?.length === 1) return { ...whole(it.allOf[0], root), ...it, allOf: undefined };
  return it;
}

/** @param {Schema} schema @returns {[value: Json, title: string][] | undefined} */
function choices(schema) {
  if (schema.enum) return schema.enum.map((it) => [it, String(it)]);
  const all = schema.oneOf ?? schema.anyOf;
  if (!all?.length || !all.every((it) => it.const !== undefined || it.enum?.length)) return undefined;
  return all.flatMap((it) => (it.enum ?? [it.const ?? null]).map((value) => /** @type {[Json, string]} */ ([value, it.description ? `${value}: ${it.description}` : String(value)])));
}

/** @param {Schema} schema */
const typeOf = (schema) => (Array.isArray(schema.type) ? schema.type.find((it) => it !== "null") : schema.type) ?? "";

/** What a field shows for a value. @param {Json | undefined} value @param {Schema} schema */
const shown = (value, schema) => value === undefined ? "" : typeOf(schema) === "string" && typeof value === "string" ? value : JSON.stringify(value);

/** @param {Schema} schema @param {Obj} had @returns {Obj} The defaults, and what is given. */
export function startOf(schema, had) {
  const defaults = Object.entries(schema.properties ?? {}).filter(([, it]) => it.default !== undefined).map(([name, it]) => [name, it.default]);
  return { ...Object.fromEntries(defaults), ...had };
}

/**
 * Reads one field. @param {string} text @param {Schema} schema
 * @returns {{ value?: Json, wrong?: string }}
 */
function read(text, schema) {
  if (choices(schema)) {
    const found = choices(schema)?.find(([it]) => JSON.stringify(it) === text);
    return found ? { value: found[0] } : {};
  }
  const type = typeOf(schema);
  if (type === "string") return { value: text };
  if (!text.trim()) return {};
  if (type === "integer" || type === "number") {
    const n = Number(text);
    if (Number.isNaN(n) || (type === "integer" && !Number.isInteger(n))) return { wrong: type === "integer" ? "This is not a whole number." : "This is not a number." };
    if (schema.minimum !== undefined && n < schema.minimum) return { wrong: `At least ${schema.minimum}.` };
    if (schema.maximum !== undefined && n > schema.maximum) return { wrong: `At most ${schema.maximum}.` };
    return { value: n };
  }
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { wrong: "This is not JSON." };
  }
}

/** @param {{ name: string, schema: Schema, text: string | undefined, required: boolean, set: (text: string | undefined) => void }} props */
function Parameter({ name, schema, text, required, set }) {
  const about = [schema.description, !required && schema.default === undefined && "May be left out."].filter(Boolean).join(" ");
  const label = html`${name} ${required ? html`<span class="muted" title="It must be given">*</span>` : ""}`;
  const all = choices(schema);
  const type = typeOf(schema);
  if (all) return html`<${Text} label=${label} hint=${about} value=${text ?? ""} set=${set} options=${[...(required && text ? [] : [["", "(left out)"]]), ...all.map(([value, title]) => [JSON.stringify(value), title])]} />`;
  if (type === "boolean") return html`<${Check} label=${name} hint=${about} checked=${text === "true"} set=${(/** @type {boolean} */ it) => set(String(it))} />`;
  const isLong = !["string", "integer", "number"].includes(type);
  const wrong = text === undefined ? undefined : read(text, schema).wrong;
  return html`<${Text} label=${label} hint=${about} wrong=${wrong} value=${text ?? ""} rows=${isLong ? 3 : undefined} code=${isLong}
    set=${(/** @type {string} */ it) => set(it === "" && !required ? undefined : it)} placeholder=${isLong ? "JSON" : type === "string" && required ? "" : type} />`;
}

/** @param {{ schema: Schema, start: Obj, set: (written: Written) => void }} props */
export function Parameters({ schema, start, set }) {
  const properties = Object.entries(schema.properties ?? {}).map(([name, it]) => /** @type {[string, Schema]} */ ([name, whole(it, schema)]));
  const required = schema.required ?? [];
  const textsOf = (/** @type {Obj} */ value) => Object.fromEntries(properties.filter(([name]) => value[name] !== undefined)
    .map(([name, it]) => [name, choices(it) ? JSON.stringify(value[name]) : shown(value[name], it)]));
  const [tab, setTab] = useState("form");
  const [texts, setTexts] = useState(() => /** @type {Record<string, string | undefined>} */ (textsOf(start)));
  const [raw, setRaw] = useState(() => JSON.stringify(start, null, 2));
  // What the form has no field for stays as it is.
  const [rest, setRest] = useState(start);

  const fromForm = () => {
    /** @type {Obj} */
    const value = { ...rest };
    let wrong;
    for (const [name, it] of properties) {
      const text = texts[name];
      delete value[name];
      const got = text === undefined ? {} : read(text, it);
      if (got.wrong) wrong = `${name}: ${got.wrong}`;
      if (got.value !== undefined) value[name] = got.value;
      else if (required.includes(name) && !got.wrong) wrong = `${name} is missing.`;
    }
    return { value, wrong };
  };
  const fromRaw = () => {
    try {
      const value = JSON.parse(raw || "{}");
      return value && typeof value === "object" && !Array.isArray(value) ? { value, wrong: undefined } : { value: undefined, wrong: "This is not a JSON object." };
    } catch (error) {
      return { value: undefined, wrong: error instanceof Error ? error.message : "This is not JSON." };
    }
  };
  const now = tab === "form" ? fromForm() : fromRaw();
  useEffect(() => set(now.wrong ? { wrong: now.wrong } : { value: now.value }), [JSON.stringify(now)]);
  const change = (/** @type {string} */ to) => {
    if (to === "raw") setRaw(JSON.stringify(fromForm().value, null, 2));
    else {
      const { value, wrong } = fromRaw();
      if (wrong) return;
      setTexts(textsOf(value));
      setRest(value);
    }
    setTab(to);
  };
  return html`<div><${Tabs} label="Parameters" of=${[["form", "Form"], ["raw", "Raw JSON"]]} at=${tab} go=${change} />
    ${tab === "raw" ? html`<${Text} label="Parameters, as JSON" value=${raw} set=${setRaw} rows=${10} code wrong=${now.wrong} />`
      : html`<div class="form">${properties.length === 0 && html`<p class="muted">It takes no parameters.</p>`}
        ${properties.map(([name, it]) => html`<${Parameter} key=${name} name=${name} schema=${it} text=${texts[name]} required=${required.includes(name)}
          set=${(/** @type {string | undefined} */ text) => setTexts({ ...texts, [name]: text })} />`)}</div>`}</div>`;
}
