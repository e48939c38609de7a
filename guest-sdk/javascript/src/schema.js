// What parameters and results look like: JSON Schema, in few words.

/** A schema of one's own. */
export const schema = (json) => ({ schema: json });
const of = (type) => (more = {}) => schema({ type, ...more });

export const string = of("string");
export const integer = of("integer");
export const number = of("number");
export const boolean = of("boolean");
/** A day as text, `2026-02-28`; and an instant, `2026-02-28T12:30:00Z`. The host checks both. */
export const date = (more = {}) => string({ format: "date", ...more });
export const dateTime = (more = {}) => string({ format: "date-time", ...more });
export const any = (more = {}) => schema({ ...more });
export const literal = (...values) => schema({ enum: values });
export const list = (item, more = {}) => schema({ type: "array", items: item.schema, ...more });
export const object = (fields, more = {}) => schema({ ...fieldsSchema(fields), ...more });
export const nullable = (it) => schema({ anyOf: [it.schema, { type: "null" }] });

/** What may be left out; with a second argument, what it is then. */
export function optional(it, otherwise) {
  return { schema: otherwise === undefined ? it.schema : { ...it.schema, default: otherwise }, isOptional: true };
}

/** Returns the schema of an object with these fields, and no others. */
export function fieldsSchema(fields) {
  const entries = Object.entries(fields);
  return {
    type: "object",
    properties: Object.fromEntries(entries.map(([name, it]) => [name, it.schema])),
    required: entries.filter(([, it]) => !it.isOptional).map(([name]) => name),
    additionalProperties: false,
  };
}

/** Reads what a declaration says: fields, a schema, or nothing at all. */
export function inputSchema(declared) {
  if (declared === undefined) return { type: "object" };
  if (declared.schema && typeof declared.schema === "object" && !declared.isOptional) return declared.schema;
  return fieldsSchema(declared);
}

/** Returns a value with what was left out, wherever in it a schema has a default. A value is never changed in place. */
export function withDefaults(json, value) {
  if (value === null || typeof value !== "object" || !json || typeof json !== "object") return value;
  const alternatives = json.anyOf ?? json.oneOf;
  if (alternatives) return withDefaults(alternatives.find((it) => fits(it, value)), value);
  if (Array.isArray(value)) return json.items ? value.map((it) => withDefaults(json.items, it)) : value;
  const filled = { ...value };
  for (const [name, it] of Object.entries(json.properties ?? {})) {
    if (filled[name] === undefined && it && "default" in it) filled[name] = structuredClone(it.default);
    if (filled[name] !== undefined) filled[name] = withDefaults(it, filled[name]);
  }
  const others = json.additionalProperties;
  if (others && typeof others === "object") {
    for (const name of Object.keys(filled)) if (!Object.hasOwn(json.properties ?? {}, name)) filled[name] = withDefaults(others, filled[name]);
  }
  return filled;
}

/** Tells whether an alternative is meant, by what can be seen of it from above. */
function fits(json, value) {
  const isA = (type) => [json.type].flat().includes(type);
  if (Array.isArray(value)) return isA("array");
  const known = json.properties ?? {};
  const isWhole = (json.required ?? []).every((it) => it in value) && (json.additionalProperties !== false || Object.keys(value).every((it) => it in known));
  const isRight = Object.entries(known).every(([name, it]) => !(name in value) || ((it.const === undefined || it.const === value[name]) && (!it.enum || it.enum.includes(value[name]))));
  return isA("object") && isWhole && isRight;
}
