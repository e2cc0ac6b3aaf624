"use strict";
// What a moved bound makes of the front's members, and how that is drawn. Of a finished study they are judged by the
// values that were measured again; of one that runs, by whether they are on the front of the search under the bound.
const frontMembers = (data, search) => {
  const table = data.tables.members;
  const chosen = data.recommended;

  // The bounds in the unit that members are judged by, where the untouched model was measured again too.
  const forMembers = (bounds) => bounds.map((bound) => ({ ...bound, bound: bound.member_bound }));

  function keepsByErrors(bounds) {
    return bounds.every((bound, n) => {
      const [value, error] = [chosen.values[n], chosen.errors[n]];
      if (value === null || error === null || bound.member_bound === null) return false;
      const room = bound.op === "<=" ? bound.member_bound - value : value - bound.member_bound;
      return room >= chosen.num_stderr * error;
    });
  }

  // Under bounds: which keys are members still, and whether the recommended one still would be. `found` is the front
  // of the search under them.
  function under(bounds, found, isMoved) {
    const kept = new Set(table
      ? table.key.filter((_, row) => !isMoved || studyFront.keeps(table.values, forMembers(bounds), row))
      : found.members.map((row) => search.key[row]));
    const isChosen = chosen !== null && (!isMoved || (kept.has(chosen.key) && keepsByErrors(bounds)));
    return { kept, isChosen, isMoved };
  }

  // The trace of the members on the same axes: a figure may have several parts.
  function ofMembersIn(figure, { xaxis }) {
    return figure.data.find((other) => other.meta && other.meta.role === "members" && other.xaxis === xaxis);
  }

  // The new look of one trace of a figure, null where it has none; `searched`: the front of the search on its axes.
  function lookOf(trace, figure, state, searched) {
    const [meta, of] = [trace.meta, ofMembersIn(figure, trace)];
    const keys = of ? of.customdata.map((entry) => entry[0]) : [];
    const inside = keys.map((_, n) => n).filter((n) => state.kept.has(keys[n]));
    const points = table ? inside.map((n) => [of.x[n], of.y[n]]) : searched;
    if (meta.role === "members") {
      return {
        "marker.symbol": of.meta.symbols.map((symbol, n) => (state.kept.has(keys[n]) ? symbol : `${symbol}-open`)),
        "marker.opacity": keys.map((key) => (state.kept.has(key) ? 1 : 0.45)),
      };
    }
    if (meta.role === "edge") return { x: points.map(([x]) => x), y: points.map(([, y]) => y) };
    if (meta.role === "dominated") return outline(points, meta.worst);
    if (meta.role === "star") return { visible: state.isChosen };
    return null;
  }

  // What points, best in the first objective first, dominate up to the worst corner of a figure.
  function outline(points, [worstX, worstY]) {
    if (points.length === 0) return { x: [], y: [] };
    const [xs, ys] = [[points[0][0], points[0][0]], [worstY]];
    points.forEach(([x, y], n) => { if (n) xs.push(x, x); ys.push(y, y); });
    return { x: [...xs, worstX, worstX], y: [...ys, worstY] };
  }

  // The same in the table of members.
  function markRows(state) {
    for (const row of document.querySelectorAll("tr[data-point]")) {
      const cell = row.cells[0];
      row.dataset.own ??= cell.textContent;
      const isKept = state.kept.has(row.dataset.point) || !state.isMoved;
      const own = state.isChosen ? row.dataset.own : row.dataset.own.replace("★", "").trim();
      cell.textContent = isKept ? own : `${own} ${table ? "outside the bounds" : "not on the front"}`.trim();
      row.classList.toggle("outside", !isKept);
      row.classList.toggle("marked", state.isChosen && row.dataset.point === chosen.key);
    }
  }

  // The same in words; nothing where the bounds are the study's own.
  function inWords(state) {
    if (!state.isMoved || !document.querySelector("tr[data-point]")) return "";
    const own = [...document.querySelectorAll("tr[data-point]")].map((row) => row.dataset.point);
    const count = own.filter((key) => state.kept.has(key)).length;
    const stay = `${count} of the study's ${own.length} members ${table ? "keep these bounds, by what was measured again" : "are on this front"}.`;
    if (chosen === null) return stay;
    const by = `${chosen.num_stderr} standard errors`;
    return state.isChosen ? `${stay} The recommended one keeps them by ${by}.`
      : `${stay} The recommended one does not keep them by ${by}, so that none is recommended here.`;
  }

  return { under, lookOf, markRows, inWords };
};
