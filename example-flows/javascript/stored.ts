// What is stored, and how failures are told, as a test of the host looks at it: the same in every language.
import { Failure, any, date, flow, integer, list, literal, log, nullable, number, object, optional, string, task } from "retake";

const retries = 2;

const nan = task({ name: "nan", returns: number(), retries }, async () => Number("seven"));
const nanInside = task({ name: "nan-inside", retries }, async () => ({ rows: [1.5, NaN] }));
const infinite = task({ name: "infinite", returns: number(), retries }, async () => 1 / 0);
const half = task({ name: "half", input: { x: number() }, returns: number(), retries }, async ({ x }) => x / 2);
const unstorable = task({ name: "unstorable", retries }, async () => ({ named: new Map([[{ key: 1 }, () => 1]]) }));
const cycle = task({ name: "cycle", retries }, async () => {
  const it: { self?: unknown } = {};
  it.self = it;
  return it;
});
const misfit = task({ name: "misfit", returns: integer(), retries }, async () => "seven" as unknown as number);
// A whole number beyond 2^53 is a BigInt.
const same = task({ name: "same", input: { n: any() } }, async ({ n }) => n);
const none = task({ name: "none" }, async () => []);
const noneMapped = task({ name: "none-mapped" }, async () => new Map());
const countItems = task({ name: "count_items", input: { items: list(integer()) } }, async ({ items }) => items.length);
const countEntries = task({ name: "count_entries", input: { items: object({}) } }, async ({ items }) => Object.keys(items).length);
const halfEmoji = task({ name: "half-emoji", retries }, async () => "😀".slice(0, 1));
const reason = task({ name: "reason" }, async () => {
  const list: { name: string }[] = [];
  return list[5]!.name;
});
const network = task({ name: "network", retries }, async () => (await fetch("http://example.com/")).status);
const outer = task({ name: "outer", retries }, async () => same({ n: 1 }));
const defaults = task(
  { name: "defaults", input: { limit: optional(integer(), 10), options: optional(object({ depth: optional(integer(), 3) }), {} as { depth: number }) } },
  async ({ limit, options }) => [limit, options.depth],
);
const dayAfter = task({ name: "day_after", input: { day: date() }, returns: date() }, async ({ day }) => {
  const next = new Date(`${day}T00:00:00Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString().slice(0, 10);
});

const child = flow({ name: "store-child", parameters: { items: any() } }, async ({ items }) => Object.keys(items).length);

const what = literal(
  "nan", "nan-inside", "infinite", "nan-given", "unstorable", "cycle", "misfit", "big", "huge", "empty-list", "empty-map", "half-emoji",
  "half-emoji-said", "reason", "network", "task-in-task", "default", "dates", "date-misfit", "null-or-unset",
);

flow({ name: "store", parameters: { what, day: optional(nullable(string())) }, logPrints: true }, async ({ what, day }): Promise<unknown> => {
  switch (what) {
    case "nan":
      return nan();
    case "nan-inside":
      return nanInside();
    case "infinite":
      return infinite();
    case "nan-given":
      return half({ x: NaN });
    case "unstorable":
      return unstorable();
    case "cycle":
      return cycle();
    case "misfit":
      return misfit();
    case "big":
      return same({ n: 9007199254740993n });
    case "huge":
      return same({ n: 123456789012345678901234567890n });
    case "empty-list": {
      const items = await none();
      return [await countItems({ items }), await child({ items })];
    }
    case "empty-map": {
      const items = await noneMapped();
      return [await countEntries({ items }), await child({ items })];
    }
    case "half-emoji":
      return halfEmoji();
    case "half-emoji-said":
      console.log(`printed ${"😀".slice(0, 1)}`);
      log.info(`logged ${"😀".slice(0, 1)}`);
      throw new Failure("demo.said", `said ${"😀".slice(0, 1)}`);
    case "reason":
      return reason();
    case "network":
      return network();
    case "task-in-task":
      return outer();
    case "default":
      return defaults();
    case "dates":
      return dayAfter({ day: "2026-02-28" });
    case "date-misfit":
      return dayAfter({ day: "2026-02-30" });
    case "null-or-unset":
      return day === undefined ? "unset" : day === null ? "null" : day;
  }
});
