export { h, render, Fragment, createContext } from "preact";
export type { VNode, ComponentChildren, RefObject } from "preact";
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useId } from "preact/hooks";
export { signal, computed, effect, batch, useSignal, useComputed } from "@preact/signals";
export type { Signal, ReadonlySignal } from "@preact/signals";
import type { VNode } from "preact";
/** Text between the backquotes becomes elements; values become attributes and text, never HTML. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode;
