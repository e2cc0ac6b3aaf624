"use strict";
// Reports, and the front that they make, as the traces of a figure draw them (analysis/marks.py says by `meta` which).
const searchMarks = (search, candidates) => {
  const column = (name, unit, rows) =>
    rows.map((row) => (name === "step" ? search.step[row] : search.values[name][row] === null ? null : search.values[name][row] / unit));

  // A trace's rows of the search as points in its figure.
  function placesOf({ meta }, rows) {
    if (!meta.x || !meta.y) return [];
    const [xs, ys] = [column(meta.x, meta.x_unit, rows), column(meta.y, 1, rows)];
    return xs.map((x, n) => [x, ys[n]]);
  }

  // What changes of a trace of reports, or of the front of the search; null of other traces.
  function lookOf({ meta }, found) {
    if (meta.role !== "front" && meta.role !== "reports") return null;
    const rows = meta.role === "front" ? found.members
      : candidates.filter((row) => search.method[row] === meta.method && found.feasible[row] === meta.feasible);
    const keys = rows.map((row) => [search.key[row], search.trial[row], search.step[row]]);
    return { x: column(meta.x, meta.x_unit, rows), y: column(meta.y, 1, rows), customdata: keys };
  }

  return { lookOf, placesOf };
};
