"use strict";
// The front of a study under other bounds, worked out on the page. The same rules as analysis/front.py and
// analysis/hypervolume.py have, which tests/browser/test_report_page.py compares it with.
const studyFront = (() => {
  // Whether row i of a table keeps every bound; a value that was not measured (null) keeps none, and nothing keeps a
  // bound that is not known (null).
  function keeps(values, bounds, i) {
    return bounds.every(({ metric, op, bound }) => {
      const value = values[metric] ? values[metric][i] : null;
      return value !== null && bound !== null && (op === "<=" ? value <= bound : value >= bound);
    });
  }

  // The rows that no other row dominates, of minimised points [[...], ...]: places in order of the first objective.
  // In lexicographic order nothing that comes later dominates what came before, so that one pass is enough; of
  // equal points the first stays.
  function nonDominated(points, places) {
    const order = [...places].sort((a, b) => {
      for (let m = 0; m < points[a].length; m++) {
        if (points[a][m] !== points[b][m]) return points[a][m] - points[b][m];
      }
      return a - b;
    });
    const members = [];
    for (const place of order) {
      const beaten = members.some((other) => points[other].every((value, m) => value <= points[place][m]));
      if (!beaten) members.push(place);
    }
    return members;
  }

  // The volume that points, each of gains in [0, 1], dominate: slices along the last objective.
  function volume(gains) {
    if (gains.length === 0) return 0;
    const last = gains[0].length - 1;
    if (last === 0) return Math.max(...gains.map((gain) => gain[0]));
    const sorted = [...gains].sort((a, b) => b[last] - a[last]);
    let total = 0;
    for (let n = 0; n < sorted.length; n++) {
      const depth = sorted[n][last] - (n + 1 < sorted.length ? sorted[n + 1][last] : 0);
      if (depth > 0) total += depth * volume(sorted.slice(0, n + 1).map((gain) => gain.slice(0, last)));
    }
    return total;
  }

  // The normalised hypervolume of rows: untouched model 0, ideal 1; null where there is no ideal.
  function hypervolume(table, goals, places) {
    if (goals.ideal === null) return null;
    const gains = places.map((i) => goals.objectives.map(({ metric }, m) =>
      Math.min(1, (table.values[metric][i] - goals.reference[m]) / (goals.ideal[m] - goals.reference[m]))));
    return volume(gains.filter((gain) => gain.every((value) => value > 0)));
  }

  // Which rows of a table are feasible, which of them are on the front, and what that is worth.
  function under(table, goals, bounds) {
    const all = table.key.map((_, i) => i).filter((i) => !table.candidate || table.candidate[i]);
    const feasible = table.key.map((_, i) => keeps(table.values, bounds, i));
    const values = goals.objectives.map(({ metric }) => table.values[metric] || []);
    const measured = all.filter((i) => feasible[i] && values.every((column) => (column[i] ?? null) !== null));
    const points = table.key.map((_, i) => values.map((column, m) => goals.objectives[m].sign * column[i]));
    const members = nonDominated(points, measured);
    return { feasible, members, count: all.filter((i) => feasible[i]).length, hypervolume: hypervolume(table, goals, members) };
  }
  return { under, keeps };
})();
