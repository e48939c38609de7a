// What this engine lacks, or does otherwise than others without saying so: it is refused in words, and for good, or done right
// where that is small. Loaded before anything else.
import "./kept.js";
import { Failure } from "./failure.js";
import { attempt } from "./json.js";
import { watchTimers } from "./waiting.js";

watchTimers();

const refuse = (message) => {
  throw Failure.permanent("unsupported", message);
};

// --- The network.

function denied(url) {
  const host = attempt(() => new URL(url?.url ?? url).hostname);
  const what = host ? `\`${host}\`` : "it";
  return Failure.permanent("sandbox.denied", `the network is not granted to this run: ${what} cannot be reached from a sandbox; only secrets and variables can be granted today`, { details: host ? { host } : undefined });
}

// The engine has one, which would end the attempt without a word.
globalThis.fetch = async (url) => {
  throw denied(url);
};
for (const name of ["WebSocket", "EventSource"]) {
  globalThis[name] = class {
    constructor(url) {
      throw denied(url);
    }
  };
}
globalThis.XMLHttpRequest = class {
  open(_method, url) {
    throw denied(url);
  }
};

// --- What other engines have from ICU, which this one was built without.

const LANGUAGES = "a sandbox knows no languages and no time zones";

globalThis.Intl = Object.fromEntries(
  ["Collator", "DateTimeFormat", "DisplayNames", "DurationFormat", "ListFormat", "Locale", "NumberFormat", "PluralRules", "RelativeTimeFormat", "Segmenter", "getCanonicalLocales", "supportedValuesOf"].map((name) => [
    name,
    Object.assign(function () { refuse(`there is no \`Intl.${name}\`: ${LANGUAGES}; write the text yourself, or bring a package that has its own data, as \`moment-timezone\` has`); }, {
      supportedLocalesOf: () => [],
    }),
  ]),
);

/** Replaces a method by one that is refused when it is told of a language or of options, which it would not heed. */
function heeded(of, name, instead) {
  const plain = of.prototype[name];
  Object.defineProperty(of.prototype, name, {
    configurable: true, writable: true,
    value: function (...given) {
      if (given.some((it) => it !== undefined)) refuse(`\`${name}\` cannot heed the language or the options it is given: ${LANGUAGES}; ${instead}`);
      return plain.call(this);
    },
  });
}

const zone = "write `toISOString()`, which is UTC, or bring a package that has its own time zones, as `moment-timezone` has";
for (const name of ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"]) heeded(Date, name, zone);
for (const of of [Number, BigInt]) heeded(of, "toLocaleString", "write `toFixed(2)`, `String(n)`, or the text yourself");
for (const of of [Array, Object.getPrototypeOf(Uint8Array)]) heeded(of, "toLocaleString", "write `map` and `join`");

for (const name of ["toLocaleUpperCase", "toLocaleLowerCase"]) {
  const plain = String.prototype[name];
  Object.defineProperty(String.prototype, name, {
    configurable: true, writable: true,
    value: function (locale) {
      // In these four, some letters have other partners; in all others it is as it is without.
      const own = [locale].flat().find((it) => /^(?:tr|az|lt|el)\b/i.test(String(it)));
      if (own) refuse(`\`${name}\` does not know \`${own}\`: ${LANGUAGES}`);
      return plain.call(this);
    },
  });
}

// Below these no form of Unicode changes anything, so that most texts are what they are.
const STABLE = { NFC: /^[\0-\u02ff]*$/, NFD: /^[\0-\x7f]*$/, NFKC: /^[\0-\x9f]*$/, NFKD: /^[\0-\x7f]*$/ };
Object.defineProperty(String.prototype, "normalize", {
  configurable: true, writable: true,
  value: function normalize(form = "NFC") {
    const stable = STABLE[form];
    if (!stable) throw new RangeError(`the normalization form is one of ${Object.keys(STABLE).join(", ")}`);
    const text = String(this);
    if (!stable.test(text)) refuse(`\`normalize\` cannot make ${form} of text with ${form === "NFC" ? "characters from U+0300 on" : "characters beyond ASCII"}: a sandbox has no tables of Unicode; bring a package that has them, as \`unorm\` has`);
    return text;
  },
});

// As others sort ASCII: what is no letter first, then digits, then letters, of which the small one comes before the large.
const ORDER = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789";
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const weight = (c) => (LETTERS.includes(c) ? 100 + LETTERS.indexOf(c) : ORDER.indexOf(c));
const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

Object.defineProperty(String.prototype, "localeCompare", {
  configurable: true, writable: true,
  value: function localeCompare(that, locales, options) {
    const [one, other] = [String(this), String(that)];
    // Of these languages it is known that they sort ASCII as all others do.
    const isPlain = [locales].flat().every((it) => it === undefined || /^(?:en|de|fr|it|nl|pt)\b/i.test(String(it)));
    if (one === other) return 0;
    if (!isPlain || options !== undefined || !/^[\t-\r -~]*$/.test(one + other)) {
      refuse(`\`localeCompare\` compares ASCII alone here, without options: ${LANGUAGES}; compare with \`<\`, as in \`list.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))\``);
    }
    const [left, right] = [one, other].map((it) => [...it.toLowerCase()].map(weight));
    for (let n = 0; n < Math.min(left.length, right.length); n += 1) if (left[n] !== right[n]) return order(left[n], right[n]);
    if (left.length !== right.length) return order(left.length, right.length);
    for (let n = 0; n < one.length; n += 1) if (one[n] !== other[n]) return one[n] > other[n] ? -1 : 1;
    return 0;
  },
});
