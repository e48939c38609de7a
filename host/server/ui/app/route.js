// @ts-check
// Where we are: the address is the state, so that it can be sent to somebody.
import { signal } from "../vendor/preact.js";

export const place = signal(new URL(location.href));

/** @param {string} to @param {{ replace?: boolean }} [how] */
export function go(to, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  const before = place.value;
  place.value = new URL(location.href);
  if (before.pathname === place.value.pathname) return;
  scrollTo(0, 0);
  // So that the keyboard and screen readers begin with the new page.
  document.getElementById("main")?.focus({ preventScroll: true });
}

/** @param {Record<string, string | null>} changes Names of the query, `null` removes one. */
export function search(changes) {
  const url = new URL(place.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  go(url.pathname + url.search, { replace: true });
}

/** @param {string} name */
export const asked = (name) => place.value.searchParams.get(name) ?? "";

addEventListener("popstate", () => (place.value = new URL(location.href)));

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
  if (link.hash || link.hasAttribute("download") || link.pathname.startsWith("/docs/")) return;
  event.preventDefault();
  link.closest("dialog")?.close();
  go(link.pathname + link.search);
});
