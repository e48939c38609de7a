// Retry policies and durations, from how they are written to what the contract has.

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const LONGEST_DELAY = 30 * UNITS.d;
const MOST_RETRIES = 10_000;
const MOST_DELAYS = 100;
const SIZES = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Reads `"5m"`, `"1h 30m"` or a number of milliseconds. */
export function milliseconds(name, value, most = Number.MAX_SAFE_INTEGER) {
  let ms = value;
  if (typeof value === "string") {
    const parts = [...value.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*/g)];
    const read = parts.map((it) => it[0]).join("");
    if (!parts.length || read !== value) throw new TypeError(`\`${name}\` is a number of milliseconds or a text such as "5m", not ${JSON.stringify(value)}`);
    ms = parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit], 0);
  }
  if (typeof ms !== "number" || !(ms >= 0)) throw new TypeError(`\`${name}\` is a number of milliseconds or a text such as "5m", not ${JSON.stringify(value)}`);
  if (ms > most) throw new RangeError(`\`${name}\` may be ${most} ms at most, not ${ms}`);
  return Math.ceil(ms);
}

/** Reads `"64MiB"` or a number of bytes. */
export function bytes(name, value) {
  if (typeof value === "number" && Number.isInteger(value) && value > 0) return value;
  const read = typeof value === "string" && value.match(/^(\d+)\s*(KiB|MiB|GiB)$/);
  if (!read) throw new TypeError(`\`${name}\` is a number of bytes or a text such as "64MiB", not ${JSON.stringify(value)}`);
  return Number(read[1]) * SIZES[read[2]];
}

/** Delays of which each is `factor` times the one before. */
export function exponential(initial, { factor = 2 } = {}) {
  if (!(factor >= 1 && factor <= 100)) throw new RangeError(`\`factor\` may be 1 to 100, not ${factor}`);
  return { exponential: { initial: milliseconds("delay", initial, LONGEST_DELAY), factorPermille: Math.round(factor * 1000) } };
}

function delayOf(delay) {
  if (delay === undefined) return { fixed: 0 };
  if (Array.isArray(delay)) {
    if (!delay.length || delay.length > MOST_DELAYS) throw new RangeError(`\`delay\` has ${delay.length} entries; it may have 1 to ${MOST_DELAYS}`);
    return { listed: delay.map((it) => milliseconds("delay", it, LONGEST_DELAY)) };
  }
  if (typeof delay === "object" && delay?.exponential) return delay;
  return { fixed: milliseconds("delay", delay, LONGEST_DELAY) };
}

/** Reads a policy, and says what is wrong with it. */
export function policyOf({ retries = 0, delay, delayMax, jitter = 0, giveUpAfter, failOn = [], parkOn = [], whenExhausted = "fail" }) {
  if (!Number.isInteger(retries) || retries < 0 || retries > MOST_RETRIES) throw new RangeError(`\`retries\` may be 0 to ${MOST_RETRIES}, not ${retries}`);
  if (!(jitter >= 0 && jitter <= 1)) throw new RangeError(`\`jitter\` may be 0 to 1, not ${jitter}`);
  if (!["fail", "park"].includes(whenExhausted)) throw new TypeError(`\`whenExhausted\` is "fail" or "park", not ${JSON.stringify(whenExhausted)}`);
  const codes = (of) => of.map((it) => (typeof it === "function" ? it.name : it));
  const rules = [{ codes: codes(failOn), action: "fail" }, { codes: codes(parkOn), action: "park" }];
  return {
    retries,
    delay: delayOf(delay),
    delayMax: delayMax === undefined ? undefined : milliseconds("delayMax", delayMax),
    jitter: Math.round(jitter * 1000),
    giveUpAfter: giveUpAfter === undefined ? undefined : milliseconds("giveUpAfter", giveUpAfter),
    rules: rules.filter((it) => it.codes.length),
    whenExhausted,
  };
}
