// @ts-check
// Tables that are short enough to be in the document whole. On narrow screens each row is a card.
import { html } from "../vendor/preact.js";
/** @import { ComponentChildren } from "../vendor/preact.js" */

/**
 * @template T
 * @param {{ label: string, columns: [title: string, cell: (row: T) => ComponentChildren, className?: string][], rows: T[], id: (row: T) => string | number }} props
 */
export function Table({ label, columns, rows, id }) {
  return html`<div class="scroll" role="region" aria-label=${label} tabindex="0"><table class="table" role="table" aria-label=${label}>
    <thead role="rowgroup"><tr role="row">${columns.map(([title, , more]) => html`<th role="columnheader" scope="col" class=${more}>${title || html`<span class="hidden">Actions</span>`}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map((row) => html`<tr role="row" key=${id(row)}>${columns.map(([title, cell, more]) =>
      html`<td role="cell" class=${more} data-title=${title}>${cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}
