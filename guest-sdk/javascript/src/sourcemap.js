// Where a place of the bundle comes from: source maps, as far as stacks need them.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Reads the numbers of one segment: five bits a digit, the lowest of the first being the sign. */
function numbers(segment) {
  const read = [];
  let [value, shift] = [0, 0];
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value += (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    read.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return read;
}

/** Returns the segments of some lines, counted from 0: `[column, source, line, column]`, columns and lines counted from 0. */
function segments({ mappings }, lines) {
  const found = new Map();
  const now = [0, 0, 0, 0];
  mappings.split(";").forEach((line, n) => {
    now[0] = 0;
    const read = line === "" ? [] : line.split(",").map((it) => numbers(it).slice(0, 4).reduce((all, by, k) => ((now[k] += by), (all[k] = now[k]), all), []));
    if (lines.has(n)) found.set(n, read.filter((it) => it.length === 4));
  });
  return found;
}

/** Returns a text in which each `file:LINE:COLUMN` of the bundle is the place that it comes from. */
export function placed(text, file, map) {
  const place = new RegExp(`${file.replace(/[.]/g, "\\.")}:(\\d+):(\\d+)`, "g");
  const lines = new Set([...text.matchAll(place)].map((it) => it[1] - 1));
  if (!lines.size) return text;
  const all = segments(map, lines);
  return text.replace(place, (as, line, column) => {
    const found = all.get(line - 1)?.findLast((it) => it[0] <= column - 1);
    return found ? `${map.sources[found[1]]}:${found[2] + 1}:${found[3] + 1}` : as;
  });
}

/** Returns a stack of this engine as the author knows it, without what is the SDK's own. */
export function readable(stack, file, map) {
  // What has no place left is of the tools'.
  const isOurs = (it) => /@(?:<retake>\/|.*initializer\.js)/.test(it) || it.includes(`@${file}:`);
  const lines = placed(stack, file, map).split("\n").filter((it) => it && !isOurs(it));
  return lines.map((it) => it.replace(/^(.*?)@(.*)$/, (_, name, at) => `at ${name.replace(/[</]+$/, "") || "the top of the module"} (${at})`)).join("\n");
}
