// @ts-check
// Who is signed in, and what that role may do.
import { signal } from "../vendor/preact.js";
/** @import { Session, Role } from "../wire" */

/** `undefined` until it is known, `null` when nobody is signed in. */
export const session = signal(/** @type {Session | null | undefined} */ (undefined));

const ROLES = ["viewer", "operator", "deployer", "admin"];

/**
 * Returns why the role of this session may not do something, or nothing when it may.
 * @param {Role | undefined} need
 */
export function refusal(need) {
  if (!need) return undefined;
  const has = session.value?.role ?? "viewer";
  if (ROLES.indexOf(has) >= ROLES.indexOf(need)) return undefined;
  return `This needs the role ${need}; the token “${session.value?.name}” has the role ${has}.`;
}
