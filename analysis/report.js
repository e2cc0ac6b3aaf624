"use strict";
// What the page does when somebody points at it: shows a point's pictures, settings and values beside the figures,
// draws its trial over the others, and works the front out anew when a bound is moved. All text becomes text nodes.
(() => {
  const data = JSON.parse(document.getElementById("study-data").textContent);
  const figures = [...document.querySelectorAll(".js-plotly-plot")];
  const panel = document.getElementById("panel");
  const search = data.tables[data.points];
  const places = new Map(); // point → [name of its table, row]
  for (const [name, table] of Object.entries(data.tables)) table.key.forEach((key, row) => places.set(key, [name, row]));
  const members = frontMembers(data, search);
  const order = [...(data.tables.members ? data.tables.members.key : []), ...search.key];
  let shown = null;
  let pinned = false;

  const number = (value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(4))));
  const withError = (value, error) =>
    number(value) + (value !== null && error !== null && error !== undefined ? ` ± ${Number(error.toPrecision(2))}` : "");

  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    if (text !== null) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  // --- what stands beside the figures -------------------------------------------------------------------------

  function pictureOf(name, title) {
    const figure = element("figure", null);
    const onPage = document.querySelector(`img[data-picture="${CSS.escape(name || "")}"]`);
    const source = data.pictures[name] || (onPage && onPage.src);
    if (source) {
      const image = element("img", null, { alt: title, src: source });
      image.addEventListener("load", () => { // a whole number of screen pixels a pixel, as far as there is room
        const times = Math.floor(190 / image.naturalWidth);
        if (times >= 1) image.style.width = `${times * image.naturalWidth}px`;
      });
      figure.append(image);
    }
    figure.append(element("figcaption", source ? title : `${title}: ${name ? "picture not on this page" : "no picture"}`));
    if (name && !source) figure.append(element("a", "open the file", { href: `images/${encodeURIComponent(name)}.png` }));
    return figure;
  }

  // What two pictures have in common; under a ladder a report may have fewer samples than the untouched model.
  function sayOfPair(pair) {
    const says = element("p", "Both from the same noise, tile by tile.", { class: "note" });
    const images = [...pair.querySelectorAll("img")];
    const compare = () => {
      const sizes = new Set(images.map((image) => `${image.naturalWidth} ${image.naturalHeight}`));
      if (images.every((image) => image.complete) && sizes.size > 1) says.textContent = "The first tiles of both, row by row, are from the same noise.";
    };
    images.forEach((image) => image.addEventListener("load", compare));
    return says;
  }

  function rowsOf(table, row, untouched) {
    const body = element("table", null);
    const head = element("tr", null);
    for (const title of ["", "value", "untouched"]) head.append(element("th", title, { scope: "col" }));
    body.append(head);
    for (const [metric, values] of Object.entries(table.values)) {
      const line = element("tr", null);
      line.append(element("td", data.labels[metric] || metric));
      line.append(element("td", withError(values[row] ?? null, (table.errors[metric] || [])[row])));
      line.append(element("td", untouched[metric] ? withError(...untouched[metric]) : "–"));
      body.append(line);
    }
    return body;
  }

  function settingsOf(table, row) {
    const known = Object.entries(table.settings).filter(([, values]) => values[row] !== null);
    const facts = known.map(([name, values]) => `${name} ${number(values[row])}`);
    if (table.seed) facts.push(`seed ${table.seed[row]}`);
    if (table.num_repeats) facts.push(`mean of ${table.num_repeats[row]} runs`);
    return facts.join(" · ");
  }

  // The method of a point, and whether it keeps the bounds as they stand.
  function verdictOf(key) {
    const [name, row] = places.get(key);
    const table = data.tables[name];
    const isKept = name === "members" ? membersUnder(currentBounds()).kept.has(key) : studyFront.keeps(table.values, currentBounds(), row);
    const says = name === "members" ? `re-measured${isKept ? "" : ", outside the bounds"}` : isKept ? "keeps the bounds" : "outside the bounds";
    return `${table.method[row]} · ${says}`;
  }

  // Fills the panel; the baselines are points too.
  function show(key) {
    const baseline = key === "untouched" || key.startsWith("untouched:") ? "untouched" : key === "retrained" ? key : null;
    if (!baseline && !places.has(key)) return;
    shown = key;
    const [untouchedName, unlearnedName] = data.pairs[baseline || key] || [null, null];
    const pair = element("div", null, { class: "pair" });
    pair.append(pictureOf(untouchedName, "untouched model"));
    if (baseline !== "untouched") pair.append(pictureOf(unlearnedName, baseline ? "retrained model" : "unlearned"));
    if (pair.querySelector("img")) pair.classList.add("drawn"); // what stands below stays where it is
    const parts = [];
    if (baseline) {
      const title = baseline === "untouched" ? "Untouched model" : "Retrained model";
      const values = data.baselines[baseline];
      const table = { values: {}, errors: {} };
      for (const [metric, [value, error]] of Object.entries(values)) [table.values[metric], table.errors[metric]] = [[value], [error]];
      parts.push(element("h3", title), pair, rowsOf(table, 0, data.baselines.untouched));
    } else {
      const [name, row] = places.get(key);
      const table = data.tables[name];
      const isMember = name === "members";
      const title = `${isMember ? "Front member: trial" : "Trial"} ${table.trial[row]}, step ${table.step[row]}`;
      parts.push(element("h3", title), element("div", verdictOf(key), { class: "note", id: "verdict" }), pair);
      if (untouchedName && unlearnedName) parts.push(sayOfPair(pair));
      parts.push(element("div", settingsOf(table, row)));
      parts.push(rowsOf(table, row, data.baselines[isMember ? "untouched" : "search"]));
    }
    document.getElementById("panel-content").replaceChildren(...parts);
    panel.dataset.key = key;
  }

  function pin(key) {
    pinned = key !== null;
    panel.classList.toggle("pinned", pinned);
    document.getElementById("unpin").hidden = !pinned;
    document.getElementById("panel-hint").hidden = pinned;
    if (pinned) show(key);
    highlight(pinned ? key : null);
  }

  function stepBy(distance) {
    const at = order.indexOf(shown);
    pin(order[at < 0 ? 0 : (at + distance + order.length) % order.length]);
  }

  // --- a trial over the others --------------------------------------------------------------------------------

  const trajectories = document.getElementById("trajectories-figure");
  let highlighted = null;

  function highlight(key) {
    if (!trajectories || !trajectories.data) return;
    const place = key && places.get(key);
    const trial = place ? data.tables[place[0]].trial[place[1]] : key && key.startsWith("untouched:") ? key.slice(10) : null;
    highlighted = key;
    trajectories.dataset.trial = String(trial);
    const [x, y] = [trajectories.layout.meta.x, trajectories.layout.meta.y];
    const rows = data.tables.reports.trial.map((name, row) => (name === trial ? row : -1)).filter((row) => row >= 0);
    rows.sort((a, b) => data.tables.reports.step[a] - data.tables.reports.step[b]);
    const column = (name) => {
      const start = data.baselines.search[name];
      const values = name === "step" ? data.tables.reports.step : data.tables.reports.values[name];
      const begin = name === "step" ? [0] : start ? [start[0]] : [];
      return trial === null ? [] : [...begin, ...rows.map((row) => values[row])];
    };
    drawOver(column(x), column(y));
  }

  // A line over a figure. Plotly would draw all trials anew to add one, which takes too long to follow the mouse.
  function drawOver(xs, ys) {
    const { xaxis, yaxis } = trajectories._fullLayout;
    const make = (tag, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      return made;
    };
    const places = xs.map((x, n) => [x, ys[n]]).filter(([x, y]) => x !== null && y !== null)
      .map(([x, y]) => [xaxis.d2p(x), yaxis.d2p(y)]);
    const layer = make("svg", { class: "highlight", x: xaxis._offset, y: yaxis._offset,
      width: xaxis._length, height: yaxis._length, "pointer-events": "none" });
    layer.append(make("polyline", { points: places.map((place) => place.join(",")).join(" "), fill: "none",
      stroke: "#222222", "stroke-width": 3 }));
    layer.append(...places.map(([cx, cy]) => make("circle", { cx, cy, r: 4.5, fill: "#222222" })));
    trajectories.querySelector("svg.highlight")?.remove();
    if (places.length) trajectories.querySelector(".main-svg").append(layer);
  }

  // --- bounds that can be moved -------------------------------------------------------------------------------

  const sliders = [...document.querySelectorAll(".bound")];

  function currentBounds() {
    return data.goals.constraints.map((constraint, place) => {
      const slider = sliders[place];
      if (!slider || slider.dataset.moved !== "yes") return constraint;
      if (constraint.unit === null) return constraint;
      const value = Number(slider.querySelector("input[type=number]").value);
      const ofMembers = constraint.member_unit === null ? null : value * constraint.member_unit;
      return { ...constraint, bound: value * constraint.unit, member_bound: ofMembers };
    });
  }

  // What the bounds leave of the front's members.
  function membersUnder(bounds, found = studyFront.under(search, data.goals, bounds)) {
    return members.under(bounds, found, sliders.some((slider) => slider.dataset.moved === "yes"));
  }

  // What can become a member of the front, as `analysis.load.Study.candidates` has it.
  const candidates = search.key.map((_, row) => row).filter((row) => !search.candidate || search.candidate[row]);
  const marks = searchMarks(search, candidates);

  // The front under bounds, which the page tells in words.
  function frontUnder(bounds) {
    const found = studyFront.under(search, data.goals, bounds);
    const volume = found.hypervolume === null ? "not defined" : found.hypervolume.toFixed(3);
    document.getElementById("front-says").textContent =
      `${found.count} of ${candidates.length} feasible, ${found.members.length} on the front, hypervolume ${volume}.`;
    return found;
  }

  // Changes of several traces as one update; what is undefined plotly leaves as it is.
  function together(looks) {
    const names = new Set(looks.flatMap((look) => Object.keys(look)));
    return Object.fromEntries([...names].map((name) => [name, looks.map((look) => look[name])]));
  }

  function redraw() {
    const bounds = currentBounds();
    const found = frontUnder(bounds);
    const state = membersUnder(bounds, found);
    members.markRows(state);
    const verdict = document.getElementById("verdict");
    if (verdict) verdict.textContent = verdictOf(shown);
    document.getElementById("members-say").textContent = members.inWords(state);
    for (const figure of figures) {
      const looks = new Map(); // number of a trace → what changes of it
      (figure.data || []).forEach((trace, number) => {
        const look = !trace.meta || !trace.meta.role ? null
          : marks.lookOf(trace, found) || members.lookOf(trace, figure, state, marks.placesOf(trace, found.members));
        if (look) looks.set(number, look);
      });
      if (looks.size) Plotly.update(figure, together([...looks.values()]), movedLines(figure, bounds), [...looks.keys()]);
    }
  }

  // The new places of a figure's bounds, as an update of its layout.
  function movedLines(figure, bounds) {
    const update = {};
    ((figure.layout && figure.layout.shapes) || []).forEach((shape, place) => {
      const [kind, constraint] = (shape.name || "").split(":");
      if (kind !== "bound" && kind !== "within") return;
      const line = bounds[constraint].bound / figure.layout.meta.units[constraint];
      update[`shapes[${place}].x1`] = line;
      if (kind === "bound") update[`shapes[${place}].x0`] = line;
    });
    return update;
  }

  let waiting = false;
  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; redraw(); });
  }

  for (const slider of sliders) {
    const [range, exact] = [slider.querySelector("input[type=range]"), slider.querySelector("input[type=number]")];
    const move = (from, to) => () => {
      if (from.value === "" || !Number.isFinite(Number(from.value))) return;
      slider.dataset.moved = "yes";
      to.value = from.value;
      soon();
    };
    range.addEventListener("input", move(range, exact));
    exact.addEventListener("input", move(exact, range));
    slider.querySelector("button").addEventListener("click", () => {
      delete slider.dataset.moved;
      range.value = exact.value = slider.dataset.own;
      soon();
    });
  }

  if (sliders.length) frontUnder(currentBounds());

  // --- who listens to what ------------------------------------------------------------------------------------

  const keyOf = (event) => {
    const of = event.points && event.points[0] && event.points[0].customdata;
    return Array.isArray(of) ? of[0] : of;
  };
  for (const figure of figures) {
    if (!figure.closest(".explore")) continue;
    figure.on("plotly_hover", (event) => {
      const key = keyOf(event);
      if (!key || pinned) return;
      show(key);
      if (figure === trajectories) highlight(key);
    });
    figure.on("plotly_unhover", () => { if (!pinned && figure === trajectories) highlight(null); });
    figure.on("plotly_click", (event) => {
      const key = keyOf(event);
      if (key) pin(pinned && key === shown ? null : key);
    });
  }
  if (trajectories && trajectories.on) trajectories.on("plotly_afterplot", () => highlight(highlighted)); // also after a zoom
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") pin(null); });
  document.getElementById("unpin").addEventListener("click", () => pin(null));
  document.getElementById("previous").addEventListener("click", () => stepBy(-1));
  document.getElementById("next").addEventListener("click", () => stepBy(1));
  for (const row of document.querySelectorAll("tr[data-point]")) {
    row.addEventListener("click", () => pin(row.dataset.point));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") pin(row.dataset.point); });
  }
  if (order.length) show(panel.dataset.first && places.has(panel.dataset.first) ? panel.dataset.first : order[0]);
})();
