// @ts-check
// Asks the server. What goes wrong is thrown as a `Failed`, which says what to try.
import { lost } from "./connection.js";
import { session } from "./session.js";
/** @import { Wrong } from "../wire" */

export class Failed extends Error {
  /** @param {Wrong} wrong @param {number} status */
  constructor(wrong, status) {
    super(wrong.message);
    this.wrong = wrong;
    this.status = status;
  }
}

/**
 * Names a place of the API, or a page: each part is escaped.
 * @param {(string | number)[]} parts
 */
export const path = (...parts) => "/" + parts.map((it) => encodeURIComponent(it)).join("/");

/** @param {Record<string, string | number | boolean | null | undefined>} all */
export function query(all) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) asked.set(name, String(value));
  }
  const text = asked.toString();
  return text ? "?" + text : "";
}

/**
 * @template T
 * @param {string} method
 * @param {string} at Below `/api/v1`.
 * @param {unknown} [body] JSON, or a file.
 * @param {{ signal?: AbortSignal, headers?: Record<string, string> }} [more]
 * @returns {Promise<T>}
 */
export async function ask(method, at, body, more = {}) {
  const headers = new Headers(more.headers);
  if (method !== "GET") headers.set("x-retake", "ui");
  const isFile = body instanceof Blob;
  if (body !== undefined) headers.set("content-type", isFile ? "application/wasm" : "application/json");
  const sent = body === undefined || isFile ? body : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch("/api/v1" + at, { method, headers, body: /** @type {BodyInit} */ (sent), signal: more.signal });
  } catch (error) {
    if (more.signal?.aborted) throw error;
    lost();
    const message = "The server does not answer.";
    throw new Failed({ code: "unreachable", message, hint: "It is asked again by itself." }, 0);
  }
  return read(answer);
}

/** @param {Response} answer */
async function read(answer) {
  const text = await answer.text().catch(() => "");
  let json = null;
  try {
    json = text ? JSON.parse(text) : null;
  } catch {
    // Something between the server and us answered.
  }
  if (answer.ok) return json;
  if (answer.status === 401 && session.value) session.value = null;
  const wrong = json?.error ?? { code: "odd-answer", message: `The server answered ${answer.status}.`, hint: "" };
  throw new Failed(wrong, answer.status);
}

/** @template T @param {string} at @param {AbortSignal} [signal] @returns {Promise<T>} */
export const get = (at, signal) => ask("GET", at, undefined, { signal });

/** @param {unknown} error @returns {Wrong} */
export function wrongOf(error) {
  if (error instanceof Failed) return error.wrong;
  const message = error instanceof Error ? error.message : String(error);
  return { code: "page", message, hint: "It is a bug of this page: reload it." };
}
