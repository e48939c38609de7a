import type { VNode } from "preact";
export { render } from "preact";
export type { VNode, ComponentChildren, RefObject } from "preact";
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useId } from "preact/hooks";
/** Text between the backquotes becomes elements; values become attributes and text, never HTML. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode;
