// What parameters and results look like: JSON Schema, in few words.

/** A schema of one's own. */
export const schema = (json) => ({ schema: json });
const of = (type) => (more = {}) => schema({ type, ...more });

export const string = of("string");
export const integer = of("integer");
export const number = of("number");
export const boolean = of("boolean");
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

/** Returns an input with what was left out. */
export function withDefaults(json, input) {
  const filled = { ...input };
  for (const [name, it] of Object.entries(json.properties ?? {})) {
    if (filled[name] === undefined && it && "default" in it) filled[name] = structuredClone(it.default);
  }
  return filled;
}
