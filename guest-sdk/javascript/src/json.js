// Values as JSON, and back: nothing is lost or rounded in silence. What cannot be said is refused with its place.

/** As deep as a host reads: 128 levels are refused. */
const DEEPEST = 127;

/** What JSON cannot say, and where: `pointer` is a JSON pointer, empty for the whole value. */
export class Unsayable extends Error {
  constructor(pointer, what) {
    super(pointer ? `at \`${pointer}\` ${what}` : what);
    this.name = "Unsayable";
  }
}

const isDigits = (text) => /^-?\d+$/.test(text);
const inPointer = (key) => String(key).replaceAll("~", "~0").replaceAll("/", "~1");
const nameOf = (value) => attempt(() => value.constructor.name) || "object";

/** Returns what a function returns, or nothing where it throws: what is thrown may have getters that throw. */
export function attempt(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Returns what is known of the part of a value that is called `key`, when `schema` is known of the whole. */
function schemaOf(schema, key, isItem) {
  if (!schema || typeof schema !== "object") return undefined;
  for (const it of [schema, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) {
    const found = isItem ? (it.prefixItems?.[key] ?? it.items) : (it.properties?.[key] ?? it.additionalProperties);
    if (found && typeof found === "object") return found;
  }
  return undefined;
}

/** Whether a schema, or one of its alternatives, has this word with this value. */
const says = (schema, word, value) => [schema, ...(schema?.anyOf ?? []), ...(schema?.oneOf ?? [])].some((it) => [it?.[word]].flat().includes(value));

/** Writes one value; `path` are the keys that lead to it, and `within` what holds it. */
class Writer {
  constructor(refuse) {
    this.refuse = refuse;
    this.path = [];
    this.within = new Set();
  }

  no(what) {
    // Where it is too deep, the first steps say enough.
    const [steps, rest] = this.path.length >= DEEPEST ? [this.path.slice(0, 4), "/…"] : [this.path, ""];
    return this.refuse(steps.map((it) => `/${inPointer(it)}`).join("") + rest, what);
  }

  /** Reads what may throw. */
  read(get) {
    try {
      return [get()];
    } catch (thrown) {
      return this.no(`cannot be read: ${attempt(() => String(thrown?.message ?? thrown)) ?? "what it throws cannot be read"}`);
    }
  }

  /** Returns the text; nothing for what is left out of an object. */
  write(given, schema) {
    let value = given;
    if (value !== null && (typeof value === "object" || typeof value === "bigint")) {
      const read = this.read(() => (typeof value.toJSON === "function" && !(value instanceof Date) ? value.toJSON(String(this.path.at(-1) ?? "")) : value));
      if (!Array.isArray(read)) return read;
      value = read[0];
    }
    if (value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt) value = value.valueOf();
    switch (typeof value) {
      case "undefined":
        return undefined;
      case "boolean":
        return String(value);
      case "bigint":
        return String(value);
      case "number":
        return this.number(value, schema);
      case "string":
        return value.isWellFormed() ? JSON.stringify(value) : this.no("is text with half a surrogate pair, which JSON cannot say");
      case "object":
        return value === null ? "null" : this.object(value, schema);
      case "function":
        return this.no(`is the function \`${value.name || "(anonymous)"}\`, which JSON cannot say`);
      default:
        return this.no(`is a ${typeof value}, which JSON cannot say`);
    }
  }

  number(value, schema) {
    if (!Number.isFinite(value)) return this.no(`is ${value}, which JSON cannot say`);
    const text = JSON.stringify(value);
    if (Number.isSafeInteger(value) || !Number.isInteger(value)) return text;
    // These digits are not its own, and whoever reads them would take them for a whole number.
    // From 1e21 on there is an exponent, which every reader takes for a float.
    const isFloat = says(schema, "type", "number") || (!isDigits(text) && !says(schema, "type", "integer"));
    if (isFloat) return value.toExponential();
    return this.no(`is ${text}, a number beyond 2^53, where whole numbers are not exact: make it a BigInt`);
  }

  object(value, schema) {
    if (this.within.has(value)) return this.no("holds itself, which JSON cannot say");
    if (this.path.length >= DEEPEST) return this.no(`is more than ${DEEPEST} levels deep`);
    this.within.add(value);
    const text = this.parts(value, schema);
    this.within.delete(value);
    return text;
  }

  parts(value, schema) {
    if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))) return this.list(value, schema);
    if (value instanceof Set) return this.list([...value], schema);
    if (value instanceof Date) return this.date(value, schema);
    if (value instanceof Map) {
      const other = [...value.keys()].find((it) => typeof it !== "string");
      if (other !== undefined || value.has(undefined)) return this.no(`is a \`Map\` with a key that is no text (${attempt(() => String(other)) ?? typeof other}), which JSON cannot say`);
      return this.fields([...value.keys()], (key) => value.get(key), schema);
    }
    if (value instanceof Error) return this.no(`is an error (\`${nameOf(value)}: ${attempt(() => String(value.message))}\`), which JSON cannot say: throw it, or take its \`message\``);
    if (attempt(() => typeof value.then) === "function") return this.no("is a promise that nobody awaited");
    const keys = this.read(() => Object.keys(value));
    if (!Array.isArray(keys)) return keys;
    const kind = attempt(() => Object.getPrototypeOf(value));
    if (!keys[0].length && kind !== Object.prototype && kind !== null && attempt(() => Object.getPrototypeOf(kind)) !== null) {
      return this.no(`is of the class \`${nameOf(value)}\`, of which JSON can say nothing: take what you need of it`);
    }
    return this.fields(keys[0], (key) => value[key], schema);
  }

  date(value, schema) {
    if (Number.isNaN(value.getTime())) return this.no("is an invalid `Date`, which JSON cannot say");
    const text = value.toISOString();
    return JSON.stringify(says(schema, "format", "date") && text.endsWith("T00:00:00.000Z") ? text.slice(0, -14) : text);
  }

  list(items, schema) {
    const texts = [];
    for (let n = 0; n < items.length; n += 1) texts.push(this.part(n, () => items[n], schemaOf(schema, n, true)) ?? "null");
    return `[${texts.join(",")}]`;
  }

  fields(keys, get, schema) {
    const texts = [];
    for (const key of keys) {
      const text = this.part(key, () => get(key), schemaOf(schema, key, false));
      if (text === undefined) continue;
      const name = key.isWellFormed() ? key : (this.no("has a key with half a surrogate pair, which JSON cannot say"), key.toWellFormed());
      texts.push(`${JSON.stringify(name)}:${text}`);
    }
    return `{${texts.join(",")}}`;
  }

  part(key, get, schema) {
    this.path.push(key);
    const read = this.read(get);
    const text = Array.isArray(read) ? this.write(read[0], schema) : read;
    this.path.pop();
    return text;
  }
}

/**
 * Returns a value as JSON; throws `Unsayable` for what cannot become it. `schema` is what is declared of it, if anything.
 *
 * `undefined` is null, and left out of objects; a Map with keys of text is an object, a Set and a typed array a list, a Date its
 * ISO text, and a BigInt its digits.
 */
export function encode(value, schema) {
  const refuse = (pointer, what) => {
    throw new Unsayable(pointer, what);
  };
  return new Writer(refuse).write(value, schema) ?? "null";
}

/** The same for what may not be lost to a part that cannot be said: such a part is replaced by a text about it. */
export function encodeAnyhow(value) {
  return attempt(() => new Writer((_, what) => JSON.stringify(`(it ${what})`.toWellFormed())).write(value));
}

const TOKEN = /\s*(?:([[\]{},:])|("(?:[^"\\]|\\.)*")|([^\s[\]{},:"]+))/y;

/** Reads JSON. A whole number that a `number` cannot say is a BigInt, unless the schema says that it is any `number`. */
export function decode(text, schema) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  JSON.parse(text); // What follows relies on it.
  TOKEN.lastIndex = 0;
  const next = () => TOKEN.exec(text);
  return value(next(), schema, next);
}

function value([, sign, string, word], schema, next) {
  if (string !== undefined) return JSON.parse(string);
  if (word !== undefined) return scalar(word, schema);
  if (sign === "[") {
    const list = [];
    for (let token = next(); token[1] !== "]"; token = next()) {
      if (token[1] === ",") token = next();
      list.push(value(token, schemaOf(schema, list.length, true), next));
    }
    return list;
  }
  const fields = {};
  for (let token = next(); token[1] !== "}"; token = next()) {
    if (token[1] === ",") token = next();
    const key = JSON.parse(token[2]);
    next();
    const read = value(next(), schemaOf(schema, key, false), next);
    // Not by `=`, for which `__proto__` is no field.
    Object.defineProperty(fields, key, { value: read, enumerable: true, configurable: true, writable: true });
  }
  return fields;
}

function scalar(word, schema) {
  const read = JSON.parse(word);
  const isBig = typeof read === "number" && isDigits(word) && !Number.isSafeInteger(read);
  return isBig && !(says(schema, "type", "number") && !says(schema, "type", "integer")) ? BigInt(word) : read;
}
