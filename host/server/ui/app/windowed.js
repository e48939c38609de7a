// @ts-check
// Long lists: only the rows that can be seen are in the document.
import { useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
/** @import { RefObject } from "../vendor/preact.js" */

/** Rows that are there beyond what can be seen, so that scrolling shows no gap. */
const BEYOND = 12;

/**
 * Tells which rows of a list can be seen. All rows are equally high.
 * @param {RefObject<HTMLElement>} list What the rows are in. It scrolls itself, or the page does.
 * @param {number} count
 * @param {number} height Of a row, in CSS pixels.
 * @param {boolean} [own] Whether the list scrolls itself.
 */
export function useWindow(list, count, height, own = false) {
  const [seen, setSeen] = useState({ first: 0, last: Math.min(count, 60) });
  const look = useRef(() => {});
  look.current = () => {
    const it = list.current;
    if (!it) return;
    const above = own ? it.scrollTop : -it.getBoundingClientRect().top;
    const room = own ? it.clientHeight : innerHeight;
    const first = Math.max(0, Math.floor(above / height) - BEYOND);
    const last = Math.min(count, Math.ceil((above + room) / height) + BEYOND);
    setSeen((had) => (had.first === first && had.last === last ? had : { first, last: Math.max(first, last) }));
  };
  useLayoutEffect(() => look.current(), [count, height]);
  useEffect(() => {
    let frame = 0;
    const soon = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        look.current();
      });
    };
    const scroller = own ? list.current : window;
    scroller?.addEventListener("scroll", soon, { passive: true });
    const resized = new ResizeObserver(soon);
    if (list.current) resized.observe(list.current);
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(frame);
      scroller?.removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
      resized.disconnect();
    };
  }, [own, list.current]);
  const last = Math.min(seen.last, count);
  const first = Math.min(seen.first, last);
  return { first, last, above: first * height, below: (count - last) * height };
}

/** Whether the window is narrow: rows are cards then, and higher. */
export function useNarrow() {
  const query = "(max-width: 719px)";
  const [narrow, setNarrow] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const look = () => setNarrow(media.matches);
    media.addEventListener("change", look);
    return () => media.removeEventListener("change", look);
  }, []);
  return narrow;
}
