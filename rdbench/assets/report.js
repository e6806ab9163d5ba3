"use strict";
// Draws the report from the JSON in #data. Texts from outside enter the page through textContent alone, and
// Plotly's own markup through plain(), so a name that looks like markup is shown as it is spelt.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const REDRAW_LIMIT = 24; // panels; more than that says nothing at one glance
  const PAGE = 100; // rows of the table at once

  // ---- small pieces -------------------------------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") node.textContent = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const records = (table) => (table ? table.rows.map((row) => Object.fromEntries(table.columns.map((c, i) => [c, row[i]]))) : []);
  const unique = (values) => [...new Set(values)];
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  const known = (value) => value !== null && value !== undefined;
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  function digits(value, places = 3) {
    if (!known(value)) return "–";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
    const size = Math.abs(value);
    return size >= 1000 ? value.toFixed(0) : size >= 100 ? value.toFixed(1) : size >= 10 ? value.toFixed(2) : value.toFixed(places);
  }
  const signed = (value, places) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(places);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const SHAPES = {
    circle: "M8 3a5 5 0 1 0 .01 0z", square: "M3.5 3.5h9v9h-9z", "triangle-up": "M8 2.5l5.5 10h-11z",
    "triangle-down": "M8 13.5l5.5-10h-11z", diamond: "M8 2l6 6-6 6-6-6z", cross: "M6 2h4v4h4v4h-4v4H6v-4H2V6h4z",
    x: "M4.5 2L8 5.5 11.5 2 14 4.5 10.5 8l3.5 3.5-2.5 2.5L8 10.5 4.5 14 2 11.5 5.5 8 2 4.5z",
    star: "M8 1.5l2 4.4 4.8.5-3.6 3.2 1 4.7L8 11.9l-4.2 2.4 1-4.7L1.2 6.4 6 5.9z", pentagon: "M8 2l6 4.4-2.3 7H4.3L2 6.4z",
    "triangle-left": "M2.5 8l10-5.5v11z", "triangle-right": "M13.5 8l-10-5.5v11z", hexagon: "M8 2l5 3v6l-5 3-5-3V5z",
  };
  function icon(look) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const path = document.createElementNS(space, "path");
    for (const [name, value] of Object.entries({ viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" })) svg.setAttribute(name, value);
    path.setAttribute("d", SHAPES[look.symbol] || SHAPES.circle);
    path.setAttribute("fill", look.colour);
    path.style.fill = look.both;
    svg.append(path);
    return svg;
  }
  const NO_LOOK = { colour: "#888888", dark: "#888888", symbol: "circle", dash: "solid" };
  const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark";
  const lookOf = (kind, name) => {
    const look = (data.looks[kind] || {})[String(name)] || NO_LOOK;
    return { ...look, colour: isDark() ? look.dark : look.colour, both: `light-dark(${look.colour}, ${look.dark})` };
  };

  // ---- tables and filters -------------------------------------------------------------------------------------

  const points = records(data.tables.points);
  const dots = records(data.tables.dots);
  const best = records(data.tables.envelope);
  const switches = records(data.tables.switches);
  const gains = records(data.tables.gains);
  const deltas = records(data.tables.bd);
  const differences = records(data.tables.differences);

  // What separates panels; the first ones are chosen alone at the start, so that a page opens with one clear view.
  const FILTERS = [
    { key: "run", label: "Run", all: true }, { key: "target", label: "Target" }, { key: "backend", label: "Back-end" },
    { key: "codec", label: "Codec", all: true }, { key: "variant", label: "Variant" }, { key: "factor", label: "Factor", all: true },
    { key: "region", label: "Region" }, { key: "mode", label: "Rate control" }, { key: "gold", label: "Gold" },
    { key: "scoring", label: "Scoring" },
  ];
  const PANEL = ["run", "target", "backend", "gold", "scoring", "region", "codec", "variant", "mode"];
  const GROUP = PANEL.filter((key) => key !== "codec");
  for (const filter of FILTERS) {
    const rows = filter.key === "variant" || filter.key === "mode" || filter.key === "codec" ? points.filter((p) => p.codec !== "none") : points;
    filter.values = unique(rows.map((p) => p[filter.key])).sort(order);
  }
  function firstChoice() {
    // One clear view: of each run, the first value of every key that is not shown side by side.
    for (const filter of FILTERS) filter.chosen = new Set(filter.all ? filter.values : []);
    for (const run of data.runs) {
      let rows = points.filter((p) => p.run === run);
      if (rows.some((p) => p.codec !== "none")) rows = rows.filter((p) => p.codec !== "none");
      for (const filter of FILTERS.filter((f) => !f.all)) {
        const first = unique(rows.map((p) => p[filter.key])).sort(order)[0];
        if (first === undefined) continue;
        filter.chosen.add(first);
        rows = rows.filter((p) => p[filter.key] === first);
      }
    }
  }
  firstChoice();
  const filterOf = Object.fromEntries(FILTERS.map((filter) => [filter.key, filter]));
  // An uncoded point has no codec, variant or mode to be filtered by.
  const FREE = new Set(["codec", "variant", "mode"]);
  function passes(row, skip = null) {
    return FILTERS.every(({ key, chosen }) => key === skip || !(key in row) || chosen.has(row[key]) || (row.codec === "none" && FREE.has(key)));
  }

  function drawFilters() {
    const fields = $("filter-fields");
    fields.replaceChildren();
    for (const filter of FILTERS) {
      if (filter.values.length < 2) continue;
      const chips = make("div", { class: "chips" });
      for (const value of filter.values) {
        const box = make("input", { type: "checkbox", "data-key": filter.key, "data-value": value });
        box.checked = filter.chosen.has(value);
        box.addEventListener("change", () => {
          if (box.checked) filter.chosen.add(value);
          else filter.chosen.delete(value);
          refresh();
        });
        const face = make("span");
        if (["factor", "codec", "backend"].includes(filter.key)) face.append(icon(lookOf(filter.key, value)));
        face.append(String(value));
        chips.append(make("label", { class: "chip" }, box, face));
      }
      fields.append(make("fieldset", {}, make("legend", { text: filter.label }), chips));
    }
    if (!fields.childElementCount) fields.append(make("p", { class: "quiet", text: "There is one of everything, so there is nothing to filter." }));
  }

  // ---- plots --------------------------------------------------------------------------------------------------

  const narrow = () => window.matchMedia("(max-width: 40rem)").matches;
  const coarse = () => window.matchMedia("(pointer: coarse)").matches;
  function layout(extra) {
    const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false, tickfont: { color: css("--ink") }, automargin: true };
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), size: 12 },
      margin: { l: 48, r: 12, t: 8, b: 44 }, showlegend: false, hovermode: "closest",
      dragmode: coarse() ? false : "zoom",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--accent") },
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink") }, align: "left" },
    };
    const merged = { ...base, ...extra };
    for (const name of Object.keys(merged).filter((key) => /^[xy]axis/.test(key))) merged[name] = { ...axis, ...merged[name] };
    return merged;
  }
  const LEGEND = { showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, margin: { l: 48, r: 12, t: 30, b: 44 } };
  const config = {
    responsive: true, displaylogo: false, showTips: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "toggleSpikelines"], displayModeBar: narrow() ? false : "hover",
  };
  const draw = (node, traces, extra) => Plotly.react(node, traces, layout(extra), config);
  function translucent(colour, alpha) {
    const value = parseInt(colour.slice(1), 16);
    return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${alpha})`;
  }

  function ticks(low, high, most) {
    const series = [[1], [1, 3], [1, 2, 5]].map((mantissas) => {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
        for (const m of mantissas) { const v = Number((m * 10 ** power).toPrecision(6)); if (v >= low && v <= high) found.push(v); }
      }
      return found;
    });
    const fitting = series.filter((found) => found.length >= 3 && found.length <= most);
    return fitting.length ? fitting.at(-1) : series.at(-1).length >= 2 ? series.at(-1).slice(0, most) : null;
  }
  function rateAxis(rows, field = "bitrate_kbps") {
    const rates = rows.map((p) => p[field]).filter((v) => v > 0);
    const low = Math.min(...rates) / 1.12, high = Math.max(...rates) * 1.25;
    const values = ticks(low, high, narrow() ? 6 : 9);
    const marks = values ? { tickmode: "array", tickvals: values, ticktext: values.map(String) } : { nticks: 5 };
    return { type: "log", title: { text: "Bitrate (kbit/s)" }, range: [Math.log10(low), Math.log10(high)], ...marks };
  }
  function valueRange(lists) {
    const values = lists.flat().filter(known);
    const low = Math.min(...values), high = Math.max(...values), pad = Math.max((high - low) * 0.05, 0.01);
    return [low - pad, high + pad];
  }
  const pristine = (gold) => (String(gold).startsWith("pristine:") ? String(gold).slice(9) : null);
  const metricOf = (rows) => unique(rows.map((p) => p.metric).filter(known)).map((metric) => data.metrics[metric] || metric).join(" or ");
  const within = (name) => (name.split(" ")[0] === name.split(" ")[0].toUpperCase() ? name : name.slice(0, 1).toLowerCase() + name.slice(1));
  function valueName(rows) {
    return rows.some((p) => pristine(p.gold)) ? `Agreement with pristine (${within(metricOf(rows))})` : metricOf(rows);
  }
  const offTarget = (p) => !["ok", "uncoded"].includes(p.rate_status) || Boolean(p.coded_larger);

  function groupBy(rows, keys) {
    const groups = new Map();
    for (const row of rows) {
      const key = JSON.stringify(keys.map((k) => row[k]));
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(row);
    }
    return [...groups.values()];
  }
  // Names of a group: only the keys in which the groups on show differ (the codec always).
  function namer(groups, keys, always = []) {
    const telling = keys.filter((key) => always.includes(key) || unique(groups.map((g) => g[0][key])).length > 1);
    return (row) => telling.map((key) => String(row[key])).join(", ") || String(row.target);
  }
  const sameGroup = (a, b, keys) => keys.every((key) => a[key] === b[key]);

  const FIGURES = [
    ["bitrate_kbps", "bitrate, kbit/s"], ["rate", "asked for"], ["rate_status", "rate status"], ["value", "value"], ["low", "low"], ["high", "high"],
    ["reason", "no interval"], ...Object.entries(data.metrics).map(([metric, name]) => [metric, within(name)]),
    ["factor", "factor"], ["face_px", "coded face, px"], ["psnr", "PSNR, dB"], ["psnr_coded", "PSNR at coded size, dB"],
    ["mean_qp", "mean QP"], ["payload_kbps", "payload, kbit/s"], ["stream_kbps", "whole stream, kbit/s"],
    ["framing_kbps", "framing, kbit/s"], ["informational_kbps", "informational, kbit/s"], ["coded_larger", "coded larger than asked"],
    ["n", "frames scored"], ["gold_sd", "gold's standard deviation"], ["gold_entropy", "gold's class entropy, bits"], ["subjects", "subjects"], ["clips", "clips"], ["codec", "codec"], ["variant", "variant"], ["mode", "rate control"],
    ["metric", "metric"], ["region", "region"], ["backend", "back-end"], ["target", "target"], ["gold", "gold"], ["scoring", "scoring"], ["partition", "partition"], ["run", "run"],
  ];
  const figureName = (key, rows = points) => (key === "value" ? metricOf(rows) : (FIGURES.find(([name]) => name === key) || [key, key])[1]);
  const figuresOf = (p, keys = null) => FIGURES.filter(([key]) => known(p[key]) && p[key] !== "" && (!keys || keys.has(key))).map(([key]) => [figureName(key, [p]), digits(p[key])]);
  // A label at the pointer has room for the main figures; the card below the panels lists every one.
  const MAIN = new Set(["bitrate_kbps", "rate_status", "value", "low", "high", "factor", "face_px", "n", "subjects"]);
  const hoverText = (p) => figuresOf(p, MAIN).map(([name, value]) => `${plain(name)}: <b>${plain(value)}</b>`).join("<br>");
  function showPoint(p) {
    const list = make("dl", { class: "figures" });
    for (const [name, value] of figuresOf(p)) list.append(make("div", {}, make("dt", { text: name }), make("dd", { text: value })));
    $("point").replaceChildren(list);
  }

  function curveTraces(rows, look, withBands, across = "bitrate_kbps") {
    const traces = [];
    const x = rows.map((p) => p[across]);
    if (withBands && rows.every((p) => known(p.low) && known(p.high))) {
      const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
      traces.push({ ...edge, y: rows.map((p) => p.low) });
      traces.push({ ...edge, y: rows.map((p) => p.high), fill: "tonexty", fillcolor: translucent(look.colour, 0.08) });
      // A band of one point has no area.
      if (rows.length === 1) traces.push({ ...edge, x: [x[0], x[0]], y: [rows[0].low, rows[0].high], line: { width: 2, color: look.colour } });
    }
    traces.push({
      x, y: rows.map((p) => p.value), mode: "lines+markers", name: plain(rows[0].factor), line: { color: look.colour, dash: look.dash, width: 2 }, showlegend: false,
      marker: { symbol: rows.map((p) => look.symbol + (offTarget(p) ? "-open" : "")), color: look.colour, size: 9, line: { width: 1.5, color: look.colour } },
      text: rows.map(hoverText), hovertemplate: "%{text}<extra></extra>", meta: "points",
    });
    return traces;
  }

  function panel(container, title, label) {
    const plot = make("div", { class: "plot", tabindex: "0", role: "img", "aria-label": label });
    container.append(make("div", { class: "panel" }, make("h3", { text: title }), plot));
    return plot;
  }

  function follow(plot, rowsOfTrace, tell = showPoint, stride = 1) {
    let at = null;
    plot.on("plotly_hover", (event) => { const e = event.points[0]; const rows = rowsOfTrace.get(e.curveNumber); if (rows) { at = [e.curveNumber, e.pointNumber]; tell(rows[e.pointNumber]); } });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const curves = [...rowsOfTrace.keys()];
      if (!step || !curves.length) return;
      event.preventDefault();
      if (at === null || !rowsOfTrace.has(at[0])) at = [curves[0], 0];
      else {
        const line = (curves.indexOf(at[0]) + step[0] + curves.length) % curves.length;
        const count = rowsOfTrace.get(curves[line]).length;
        at = [curves[line], Math.min(Math.max(at[1] + stride * step[1], 0), count - 1)];
      }
      Plotly.Fx.hover(plot, [{ curveNumber: at[0], pointNumber: at[1] }]);
      tell(rowsOfTrace.get(at[0])[at[1]]);
    });
    plot.addEventListener("blur", () => Plotly.Fx.unhover(plot));
  }

  function clear(container) {
    for (const plot of container.querySelectorAll(".plot")) if (plot.data) Plotly.purge(plot);
    container.replaceChildren();
  }
  const nothing = (container, text) => container.append(make("p", { class: "note", text }));

  function drawCurves() {
    const container = $("rd-plots");
    clear(container);
    const shown = points.filter((p) => passes(p) && known(p.value) && ($("hollow").checked || !offTarget(p)));
    const coded = shown.filter((p) => p.codec !== "none" && p.bitrate_kbps > 0);
    const groups = groupBy(coded, PANEL).sort((a, b) => order(PANEL.map((k) => a[0][k]).join(), PANEL.map((k) => b[0][k]).join()));
    if (!groups.length) {
      if (points.some((p) => p.codec !== "none")) nothing(container, "No point passes the filters.");
      return;
    }
    const named = namer(groups, PANEL, ["codec"]);
    const withBands = $("bands").checked;
    const levels = $("levels").checked ? shown.filter((p) => p.codec === "none") : [];
    const range = valueRange([coded.map((p) => p.value), levels.map((p) => p.value), withBands ? coded.flatMap((p) => [p.low, p.high]) : []]);
    const xaxis = rateAxis(coded);
    const jobs = []; // a panel's width depends on how many there are, so none is drawn before all stand
    for (const rows of groups.slice(0, REDRAW_LIMIT)) {
      const title = named(rows[0]);
      const factors = groupBy(rows, ["factor"]).sort((a, b) => a[0].factor - b[0].factor);
      const plot = panel(container, title, `${valueName(rows)} against bitrate, ${title}: ${factors.length} factors. Arrow keys go from point to point.`);
      jobs.push(() => {
        const traces = [], rowsOfTrace = new Map();
        for (const line of factors) {
          line.sort((a, b) => a.bitrate_kbps - b.bitrate_kbps);
          const look = lookOf("factor", line[0].factor);
          if (line[0].subjects < data.few) {
            const own = dots.filter((d) => sameGroup(d, line[0], PANEL) && d.factor === line[0].factor && known(d.value) && d.bitrate_kbps > 0);
            traces.push({ x: own.map((d) => d.bitrate_kbps), y: own.map((d) => d.value), mode: "markers", hoverinfo: "text",
              text: own.map((d) => `${plain(d.subject)}: ${digits(d.value)} at ${digits(d.bitrate_kbps)} kbit/s`), marker: { size: 4, color: translucent(look.colour, 0.55) } });
          }
          traces.push(...curveTraces(line, look, withBands));
          rowsOfTrace.set(traces.length - 1, line);
        }
        const ticksAt = levels.filter((p) => sameGroup(p, rows[0], ["run", "target", "backend", "gold", "scoring", "region"]));
        const shapes = ticksAt.map((p) => ({ type: "line", xref: "paper", x0: 0.965, x1: 1, y0: p.value, y1: p.value, line: { color: lookOf("factor", p.factor).colour, width: 3 } }));
        draw(plot, traces, { xaxis, yaxis: { title: { text: valueName(rows) }, range }, shapes });
        follow(plot, rowsOfTrace);
      });
    }
    jobs.forEach((job) => job());
    if (groups.length > REDRAW_LIMIT) nothing(container, `${groups.length - REDRAW_LIMIT} more panels are not drawn; narrow the filters.`);
  }

  const BARE = ["run", "target", "gold", "scoring", "region"];
  function drawStandalone() {
    const container = $("standalone-plots");
    clear(container);
    const shown = points.filter((p) => p.codec === "none" && passes(p) && known(p.value));
    const groups = groupBy(shown, BARE).filter((rows) => unique(rows.map((p) => p.factor)).length > 1);
    $("standalone").hidden = !points.some((p) => p.codec === "none");
    if (!groups.length) return nothing(container, "No two factors without a codec pass the filters.");
    const named = namer(groups, BARE, ["target"]);
    const range = valueRange([shown.map((p) => p.value), $("bands").checked ? shown.flatMap((p) => [p.low, p.high]) : []]);
    const jobs = []; // a panel's width depends on how many there are, so none is drawn before all stand
    for (const rows of groups.slice(0, REDRAW_LIMIT)) {
      const plot = panel(container, named(rows[0]), `${valueName(rows)} against factor, ${named(rows[0])}. Arrow keys go from point to point.`);
      jobs.push(() => {
        const traces = [], rowsOfTrace = new Map();
        for (const line of groupBy(rows, ["backend"]).sort((a, b) => order(a[0].backend, b[0].backend))) {
          line.sort((a, b) => a.factor - b.factor);
          traces.push(...curveTraces(line, lookOf("backend", line[0].backend), $("bands").checked, "factor"));
          Object.assign(traces.at(-1), { name: plain(line[0].backend), showlegend: true });
          rowsOfTrace.set(traces.length - 1, line);
        }
        const factors = unique(rows.map((p) => p.factor)).sort((a, b) => a - b);
        const ends = [Math.log10(factors[0] / 1.12), Math.log10(factors.at(-1) * 1.12)];
        draw(plot, traces, { xaxis: { type: "log", title: { text: "Downsampling factor" }, tickmode: "array", tickvals: factors, ticktext: factors.map(String), range: ends },
          yaxis: { title: { text: valueName(rows) }, range }, ...LEGEND });
        follow(plot, rowsOfTrace);
      });
    }
    jobs.forEach((job) => job());
  }

  function drawEnvelope() {
    const container = $("envelope-plots");
    clear(container);
    $("switches").replaceChildren();
    const shown = best.filter((p) => passes(p, "factor") && known(p.value));
    const groups = groupBy(shown, GROUP);
    if (!groups.length) return best.length ? nothing(container, "No envelope passes the filters.") : undefined;
    const named = namer(groups, GROUP);
    const jobs = []; // a panel's width depends on how many there are, so none is drawn before all stand
    for (const rows of groups.slice(0, REDRAW_LIMIT)) {
      const title = `${named(rows[0])}, chosen on ${rows[0].chosen_on}`;
      const plot = panel(container, title, `Envelope of factors, ${title}. Arrow keys go from point to point.`);
      jobs.push(() => {
        const traces = [], rowsOfTrace = new Map();
        for (const line of groupBy(rows, ["codec"]).sort((a, b) => order(a[0].codec, b[0].codec))) {
          line.sort((a, b) => a.bitrate_kbps - b.bitrate_kbps);
          const look = lookOf("codec", line[0].codec);
          const parts = curveTraces(line, look, $("bands").checked);
          const main = parts.at(-1);
          const chosen = line.map((p) => lookOf("factor", p.chosen_factor));
          main.marker = { symbol: chosen.map((l) => l.symbol), color: chosen.map((l) => l.colour), size: 9 };
          main.text = line.map((p) => [["codec", p.codec], ["bitrate, kbit/s", p.bitrate_kbps], [metricOf([p]), p.value], ["low", p.low], ["high", p.high],
            ["best factor", p.chosen_factor], ["agreement of subjects", p.agreement]].filter(([, v]) => known(v)).map(([k, v]) => `${plain(k)}: <b>${plain(digits(v))}</b>`).join("<br>"));
          traces.push(...parts);
          rowsOfTrace.set(traces.length - 1, line.map((p) => ({ ...p, factor: p.chosen_factor })));
          traces.push({ x: [null], y: [null], mode: "lines", name: plain(line[0].codec), line: main.line, showlegend: true });
        }
        draw(plot, traces, { xaxis: rateAxis(rows), yaxis: { title: { text: valueName(rows) } }, ...LEGEND });
        follow(plot, rowsOfTrace);
      });
    }
    jobs.forEach((job) => job());
    const facts = switches.filter((p) => passes(p, "factor"));
    if (facts.length) {
      const naming = namer(facts.map((f) => [f]), PANEL, ["codec"]);
      $("switches").append(make("h3", { text: "Where the best factor changes" }), simpleTable(
        ["Curve", "From factor", "To factor", "At kbit/s", "Interval"],
        facts.map((f) => [naming(f), f.from_factor, f.to_factor, digits(f.kbps), known(f.low) && known(f.high) ? `${digits(f.low)} to ${digits(f.high)}` : f.reason || "–"])));
    }
    const kept = gains.filter((p) => passes(p) && known(p.gain));
    if (kept.length) {
      const naming = namer(kept.map((f) => [f]), PANEL, ["codec"]);
      $("switches").append(make("h3", { text: `Gain in ${metricOf(kept)} over keeping one factor` }), simpleTable(
        ["Curve", "Factor kept", "Gain", "Interval", "Between kbit/s", ""],
        kept.map((f) => [naming(f), f.factor, signed(f.gain, 4), known(f.low) && known(f.high) ? `${signed(f.low, 4)} to ${signed(f.high, 4)}` : f.reason || "–",
          `${digits(f.kbps_low)} and ${digits(f.kbps_high)}`, f.best_single ? "best single factor" : ""])));
    }
  }

  function simpleTable(head, rows) {
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col", text })))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", { text: String(text) }))))));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": head.join(", ") }, table);
  }

  // ---- BD matrix ----------------------------------------------------------------------------------------------

  const bdChoice = { by: null, what: "rate", factor: null };
  function select(label, values, chosen, change, names = {}) {
    const box = make("select", { "data-label": label });
    values.forEach((value, i) => box.append(make("option", { value: String(i), text: names[value] ?? String(value) })));
    box.value = String(Math.max(values.indexOf(chosen), 0));
    box.addEventListener("change", () => {
      const place = box.closest(".controls");
      change(values[Number(box.value)]);
      // Controls are made anew; who came by keyboard must not be thrown back to the top of the page.
      const again = [...place.querySelectorAll("select")].find((one) => one.dataset.label === label);
      if (again) again.focus({ preventScroll: true });
    });
    return make("label", { class: "stack" }, label, box);
  }
  function drawBd() {
    drawMatrices();
    drawDifferences();
  }
  const bdKeys = () => GROUP.filter((key) => key !== bdChoice.by).concat(bdChoice.by === "codec" ? [] : ["codec"]);
  const bdShown = (rows) => rows.filter((d) => d.by === bdChoice.by && String(d.factor) === bdChoice.factor &&
    FILTERS.every(({ key, chosen }) => key === "factor" || key === bdChoice.by || !(key in d) || chosen.has(d[key])));
  const namesOf = (rows) => unique(rows.flatMap((d) => [d.anchor, d.test])).sort(bdChoice.by === "run" ? (a, b) => data.runs.indexOf(a) - data.runs.indexOf(b) : order);
  function drawMatrices() {
    const controls = $("bd-controls"), container = $("bd-tables");
    controls.replaceChildren();
    container.replaceChildren();
    if (!deltas.length) return;
    const kinds = unique(deltas.map((d) => d.by));
    bdChoice.by = kinds.includes(bdChoice.by) ? bdChoice.by : kinds[0];
    const of = deltas.filter((d) => d.by === bdChoice.by);
    const factors = unique(of.map((d) => String(d.factor))).sort((a, b) => (a === "best" ? -1 : b === "best" ? 1 : a - b));
    bdChoice.factor = factors.includes(bdChoice.factor) ? bdChoice.factor : factors[0];
    const again = (key) => (value) => { bdChoice[key] = value; drawBd(); };
    controls.append(
      select("Compare", kinds, bdChoice.by, again("by"), { codec: "codecs", backend: "back-ends", run: "runs" }),
      select("Delta", ["rate", "accuracy"], bdChoice.what, again("what"), { rate: `bits at equal ${metricOf(of)} (BD-rate, %)`, accuracy: `${metricOf(of)} at equal rate` }),
      select("Factor", factors, bdChoice.factor, again("factor"), { best: "best at each rate" }));
    const keys = bdKeys(), shown = bdShown(of);
    const groups = groupBy(shown, keys);
    if (!groups.length) return nothing(container, "No pair passes the filters.");
    const named = namer(groups, keys, ["target"]);
    for (const rows of groups) {
      const names = namesOf(rows);
      const body = names.map((anchor) => make("tr", {}, make("th", { scope: "row", text: anchor }), ...names.map((test) => cell(rows, anchor, test))));
      const table = make("table", { class: "matrix" },
        make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "anchor ↓  test →" }), ...names.map((text) => make("th", { scope: "col", text })))), make("tbody", {}, ...body));
      container.append(make("h3", { text: named(rows[0]) }), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `BD matrix, ${named(rows[0])}` }, table));
      const warnings = unique(rows.map((d) => d.warning).filter(Boolean));
      if (warnings.length) container.append(make("p", { class: "quiet", text: warnings.join("; ") }));
    }
    const chosenOn = unique(shown.map((d) => d.chosen_on).filter(Boolean));
    container.append(make("p", { class: "quiet", text: (bdChoice.what === "rate" ? "Negative: the test needs fewer bits than the anchor. " : "Positive: the test scores better than the anchor. ") +
      `Below each value: its own 95 % interval over subjects, then one that holds for all curves of ${bdChoice.by === "run" ? "a back-end of the two runs" : "the pair"} at once, ` +
      "whether the filters show them or not (single factors among themselves, best factors among themselves). " +
      "Interpolation error: how far the value moves at the most when an inner point of either curve is left out. " +
      (bdChoice.what === "rate" ? "Displacement: the furthest that making accuracy rise with the rate moved a point. " : "") +
      (chosenOn.length ? ` The factor is chosen on ${chosenOn.join(", ")}.` : "") }));
  }
  function cell(rows, anchor, test) {
    if (anchor === test) return make("td", { text: "·", "aria-label": "same" });
    let found = rows.find((d) => d.anchor === anchor && d.test === test);
    const turned = !found;
    found = found || rows.find((d) => d.anchor === test && d.test === anchor);
    if (!found) return make("td", { text: "–" });
    const name = `bd_${bdChoice.what}`, rate = bdChoice.what === "rate";
    // The same pair seen from the other side: a log ratio, or a difference, with its sign turned.
    const turn = (v) => (!known(v) || !turned ? v : rate ? 100 * (1 / (1 + v / 100) - 1) : -v);
    const places = rate ? 1 : 4;
    const interval = (kind) => {
      const ends = [turn(found[`${name}${kind}low`]), turn(found[`${name}${kind}high`])];
      return ends.every(known) ? (turned ? ends.reverse() : ends).map((v) => signed(v, places)).join(" to ") : null;
    };
    const value = turn(found[name]);
    const basis = basisOf(found, name, `${test} against ${anchor}`);
    if (!known(value)) return make("td", {}, "–", make("small", { text: found[`${name}_reason`] || "not computable" }), ...basis);
    const good = rate ? value < 0 : value > 0;
    const strength = Math.min(Math.abs(value) / (rate ? 50 : 0.1), 1) * 0.45;
    const td = make("td", {}, signed(value, places) + (rate ? " %" : ""), make("small", { text: interval("_") ?? (found[`${name}_interval_reason`] || "no interval") }));
    const all = interval("_sim_");
    if (all) td.append(make("small", { text: `95 % of all: ${all}`, class: "all" }));
    td.append(...basis);
    td.style.background = `rgba(var(${good ? "--good" : "--bad"}), ${strength.toFixed(2)})`;
    return td;
  }
  // What a delta rests on, behind its overlap: too much for every cell at once, and a tooltip has no keyboard.
  function basisOf(found, name, pair) {
    const rate = bdChoice.what === "rate";
    const overlap = found[`${name}_overlap`], error = found[`${name}_interpolation`];
    const facts = [
      known(error) ? `interpolation error up to ${error.toFixed(rate ? 1 : 4)}${rate ? " %" : ""}` : null,
      rate && known(found.displacement) ? `displacement ${digits(found.displacement, 4)} ${metricOf([found])}` : null,
    ].filter(known);
    const head = known(overlap) ? `overlap ${Math.round(100 * overlap)} %` : "basis";
    if (!facts.length) return known(overlap) ? [make("small", { text: head })] : [];
    return [make("details", {}, make("summary", { text: head, "aria-label": `${head}, more of ${pair}` }), ...facts.map((text) => make("small", { text })))];
  }

  // ---- where along the curves two differ ----------------------------------------------------------------------

  // The ticks of the figures: a half and a double are equally far from nothing, so wanted ones come first.
  const RATIOS = [0, 100, -50, 1000, -90, 1e4, -99, 1e5, -99.9, 1e6, 300, -75, 50, -30, 3000, -97, 3e4, 20, -20, 200, 500, 10, -10, -60, -80, -95, 5, -5];
  function ratioTicks(low, high, most) {
    const ends = [100 * Math.expm1(low), 100 * Math.expm1(high)];
    const at = (tick) => Math.log1p(tick / 100);
    const chosen = [];
    for (const tick of RATIOS) {
      if (at(tick) >= low && at(tick) <= high && chosen.every((other) => Math.abs(at(tick) - at(other)) > (high - low) / most)) chosen.push(tick);
    }
    if (chosen.length >= 3 && !(ends[0] > -40 && ends[1] < 60)) return chosen.sort((a, b) => a - b);
    // Within so little, per cent are as good as even.
    const rough = (ends[1] - ends[0]) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((one) => one >= rough * (1 - 1e-9));
    const first = Math.ceil(ends[0] / step), count = Math.floor(ends[1] / step) - first + 1;
    return Array.from({ length: Math.max(count, 0) }, (_, i) => Number(((first + i) * step).toPrecision(6)));
  }
  const differenceChoice = { anchor: null };
  function drawDifferences() {
    const controls = $("difference-controls"), container = $("difference-plots");
    controls.replaceChildren();
    clear(container);
    $("difference-point").textContent = "";
    $("difference").hidden = !differences.length;
    const shown = bdShown(differences), names = namesOf(shown);
    $("difference-words").hidden = !shown.length;
    if (!shown.length) return nothing(container, "No two curves that pass the filters share a range of accuracy.");
    const anchor = names.includes(differenceChoice.anchor) ? differenceChoice.anchor : names[0];
    if (names.length > 1) controls.append(select("Anchor of the lines", names, anchor, (value) => { differenceChoice.anchor = value; drawDifferences(); }));
    const lines = shown.filter((d) => [d.anchor, d.test].includes(anchor)).map((d) => {
      const turned = d.anchor !== anchor, y = series(d.ratio).map((v) => (turned ? -v : v));
      return { ...d, other: turned ? d.anchor : d.test, x: y.map((_, i) => d.from + ((d.to - d.from) * i) / (y.length - 1)), y };
    });
    const keys = bdKeys(), groups = groupBy(lines, keys), named = namer(groupBy(shown, keys), keys, ["target"]);
    const ends = [Math.min(0, ...lines.flatMap((d) => d.y)), Math.max(0, ...lines.flatMap((d) => d.y))];
    const pad = Math.max((ends[1] - ends[0]) * 0.06, 0.005);
    const range = [ends[0] - pad, ends[1] + pad], marks = ratioTicks(...range, narrow() ? 6 : 7);
    const yaxis = { title: { text: plain(`Rate over ${anchor} (%)`) }, range, tickmode: "array", tickvals: marks.map((t) => Math.log1p(t / 100)), ticktext: marks.map((t) => (t < 0 ? "−" : "") + Math.abs(t)) };
    const xaxis = (rows) => ({ title: { text: metricOf(rows) }, range: valueRange([lines.flatMap((d) => [d.from, d.to])]) });
    const percent = (y) => { const v = 100 * Math.expm1(y); return signed(v, Math.abs(v) < 10 ? 1 : 0); };
    const tell = (p) => { $("difference-point").textContent = `${p.test} over ${p.anchor} at ${p.metric} ${digits(p.x)}: ${percent(p.y)} % bits.`; };
    const jobs = []; // a panel's width depends on how many there are, so none is drawn before all stand
    for (const rows of groups.slice(0, REDRAW_LIMIT)) {
      const title = named(rows[0]);
      const plot = panel(container, title, `Difference of rates over ${metricOf(rows)}, ${title}, anchor ${anchor}. Arrow keys go along the lines.`);
      jobs.push(() => {
        const rowsOfTrace = new Map();
        const traces = rows.map((d, i) => {
          const look = lookOf(bdChoice.by, d.other), middle = d.x.length >> 1;
          rowsOfTrace.set(i, d.x.map((x, j) => ({ x, y: d.y[j], test: d.other, anchor, metric: metricOf([d]) })));
          return {
            x: d.x, y: d.y, mode: "lines+markers", name: plain(d.other), line: { color: look.colour, dash: look.dash, width: 2 },
            marker: { symbol: look.symbol, color: look.colour, size: d.x.map((_, j) => ([0, middle, d.x.length - 1].includes(j) ? 9 : 0)), opacity: 1, line: { width: 0 } },
            text: d.y.map((y, j) => `${plain(d.other)} over ${plain(anchor)}<br>${plain(metricOf([d]))} ${digits(d.x[j])}: <b>${percent(y)} %</b> bits`), hovertemplate: "%{text}<extra></extra>",
          };
        });
        const level = { type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, layer: "below", line: { color: css("--quiet"), width: 1 } };
        draw(plot, traces, { xaxis: xaxis(rows), yaxis, shapes: [level], ...LEGEND });
        follow(plot, rowsOfTrace, tell, 5);
      });
    }
    jobs.forEach((job) => job());
    if (groups.length > REDRAW_LIMIT) nothing(container, `${groups.length - REDRAW_LIMIT} more panels are not drawn; narrow the filters.`);
  }

  // ---- by frame -----------------------------------------------------------------------------------------------

  const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  function series(index) {
    const [text, offset, step] = data.series[index];
    const view = new DataView(bytesOf(text));
    return Array.from({ length: view.byteLength / 2 }, (_, i) => { const v = view.getInt16(2 * i, true); return v === -32768 ? null : offset + v * step; });
  }
  function counts(index) {
    const [text, width] = data.series[index];
    const view = new DataView(bytesOf(text));
    return Array.from({ length: view.byteLength / width }, (_, i) => (width === 2 ? view.getUint16(2 * i, true) : view.getUint32(4 * i, true)));
  }
  const TIME = [
    ["run", "Run"], ["clip", "Clip"], ["region", "Region"], ["backend", "Back-end"], ["gold_name", "Gold"], ["codec", "Codec"], ["variant", "Variant"],
    ["mode", "Rate control"], ["factor", "Factor"], ["rate", "Rate"],
  ];
  const timeChoice = {};
  function drawTime() {
    const controls = $("time-controls"), container = $("time-plots");
    controls.replaceChildren();
    clear(container);
    if (!data.traces.length) return;
    let rows = data.traces;
    for (const [key, label] of TIME) {
      const values = unique(rows.map((t) => t[key])).sort(order);
      // What was chosen stays as far as it exists beside the other choices; a rate is taken near the last one.
      let now = values.includes(timeChoice[key]) ? timeChoice[key] : undefined;
      if (now === undefined && key === "rate" && typeof timeChoice.rate === "number") now = values.reduce((a, b) => (Math.abs(b - timeChoice.rate) < Math.abs(a - timeChoice.rate) ? b : a));
      if (now === undefined) now = key === "codec" && values.length > 1 ? values.find((v) => v !== "none") : key === "rate" ? values[Math.floor(values.length / 2)] : values[0];
      timeChoice[key] = now;
      const names = key === "rate" ? Object.fromEntries(values.map((v) => { const one = rows.find((t) => t.rate === v); return [v, one.kbps ? `${digits(v)} (${digits(one.kbps)} kbit/s)` : "uncoded"]; })) : { none: "none (uncoded)" };
      if (values.length > 1) controls.append(select(label, values, now, (value) => { timeChoice[key] = value; drawTime(); }, names));
      rows = rows.filter((t) => t[key] === now);
    }
    const trace = rows[0];
    const reference = pristine(trace.gold_name);
    const goldWord = reference ? `${reference} on pristine frames` : trace.gold_name;
    $("time-line").textContent = `Clip ${trace.clip}: ` + (trace.kbps ? `${digits(trace.kbps)} kbit/s, rate ${trace.rate_status}` : "downsampled, not coded") +
      (reference ? ". Gold is a prediction too: agreement, not truth." : ".");
    const times = series(trace.times[0]);
    trace.targets.forEach((target, i) => {
      const plot = make("div", { class: "plot low", role: "img", "aria-label": `${target}: prediction and gold over time` });
      container.append(make("div", { class: "panel" }, make("h3", { text: capital(String(target)) }), plot));
      const marks = trace.classes ? { tickmode: "array", tickvals: trace.classes.map((_, j) => j), ticktext: trace.classes.map(plain) } : {};
      const shape = trace.classes ? "hv" : "linear";
      draw(plot, [
        { x: times, y: series(trace.gold[i]), mode: "lines", name: plain(goldWord), line: { color: css("--quiet"), width: 2, dash: "dot", shape }, hovertemplate: "%{y:.3f}" },
        { x: times, y: series(trace.prediction[i]), mode: "lines", name: "prediction", line: { color: lookOf("factor", trace.factor).colour, width: 2, shape }, hovertemplate: "%{y:.3f}" },
      ], { xaxis: { title: { text: "Time (s)" } }, yaxis: marks, hovermode: "x unified", ...LEGEND });
    });
    if (trace.bits.length) {
      const bits = counts(trace.bits[0]);
      const plot = make("div", { class: "plot low", role: "img", "aria-label": "Bits by frame" });
      container.append(make("div", { class: "panel" }, make("h3", { text: "Bits by frame" }), plot));
      draw(plot, [{ x: times, y: bits, type: "bar", marker: { color: lookOf("codec", trace.codec).colour, line: { width: 0 } }, hovertemplate: "%{y} bits at %{x:.2f} s<extra></extra>" }],
        { xaxis: { title: { text: "Time (s)" } }, yaxis: { title: { text: "bits" }, rangemode: "tozero" }, bargap: 0 });
    }
  }

  // ---- pictures -----------------------------------------------------------------------------------------------

  const viewChoice = { rate: 0.5, pixels: false };
  let viewRates = [];
  function drawViewer() {
    const controls = $("viewer-controls");
    controls.replaceChildren();
    if (!data.samples.length) return;
    let rows = data.samples;
    for (const [key, label] of [["run", "Run"], ["clip", "Clip"], ["region", "Region"], ["codec", "Codec"], ["variant", "Variant"], ["mode", "Rate control"]]) {
      const values = unique(rows.map((s) => s[key])).sort(order);
      let now = values.includes(viewChoice[key]) ? viewChoice[key] : key === "codec" ? values.find((v) => v !== "none") ?? values[0] : values[0];
      viewChoice[key] = now;
      if (values.length > 1) controls.append(select(label, values, now, (value) => { viewChoice[key] = value; drawViewer(); }, { none: "none (uncoded)" }));
      rows = rows.filter((s) => s[key] === now);
    }
    const rates = rows.map((s) => s.kbps).filter(known);
    viewRates = rates.length ? [Math.log(Math.min(...rates)), Math.log(Math.max(...rates))] : [];
    if (rates.length) {
      const slider = make("input", { type: "range", min: "0", max: "100", step: "1", id: "rate-slider", "aria-label": "Bitrate" });
      slider.value = String(Math.round(100 * viewChoice.rate));
      const out = make("output", { id: "rate-out", for: "rate-slider" });
      const apply = () => {
        viewChoice.rate = Number(slider.value) / 100;
        const kbps = rateNow();
        out.textContent = `${digits(kbps)} kbit/s`;
        slider.setAttribute("aria-valuetext", out.textContent);
        drawCards(rows, kbps);
      };
      slider.addEventListener("input", apply);
      controls.append(make("label", { class: "stack wide" }, make("span", {}, "Bitrate: ", out), slider));
      const box = make("input", { type: "checkbox" });
      box.checked = viewChoice.pixels;
      box.addEventListener("change", () => { viewChoice.pixels = box.checked; $("viewer-cards").classList.toggle("pixels", box.checked); });
      controls.append(make("label", {}, box, "Hard pixels"));
      apply();
    } else drawCards(rows, null);
  }
  const rateNow = () => Math.exp(viewRates[0] + viewChoice.rate * (viewRates[1] - viewRates[0]));
  const KINDS = [["source", "source"], ["decoded", "decoded"], ["input", "recogniser's input"], ["restored", "restored"]];
  function drawCards(rows, kbps) {
    const cards = groupBy(rows, ["factor"]).sort((a, b) => a[0].factor - b[0].factor).map((of) => {
      const far = (s) => Math.abs(Math.log(s.kbps) - Math.log(kbps));
      const one = kbps === null ? of[0] : of.filter((s) => known(s.kbps)).reduce((a, b) => (far(b) < far(a) ? b : a));
      const near = kbps === null || far(one) <= Math.log(1.5);
      const faces = make("div", { class: "faces" });
      for (const [kind, label] of KINDS) {
        if (!known(one.pictures[kind])) continue;
        const image = make("img", { src: data.pictures[one.pictures[kind]], alt: `${label}, factor ${one.factor}`, width: 96, height: 96 });
        faces.append(make("figure", {}, image, make("figcaption", { text: label })));
      }
      const words = [known(one.kbps) ? `${digits(one.kbps)} kbit/s` : "not coded", known(one.psnr) ? `PSNR ${digits(one.psnr)} dB` : "", known(one.face_px) ? `face ${digits(one.face_px)} px` : ""].filter(Boolean).join(", ");
      const card = make("div", { class: near ? "card" : "card pale" }, make("h3", {}, icon(lookOf("factor", one.factor)), `Factor ${one.factor}`), faces,
        make("p", { class: "quiet", text: near ? words : `${words}: the nearest there is, not at this rate` }));
      card.dataset.factor = one.factor;
      if (known(one.kbps)) card.dataset.kbps = one.kbps;
      return card;
    });
    $("viewer-cards").replaceChildren(...cards);
  }

  // ---- table --------------------------------------------------------------------------------------------------

  const COLUMNS = ["run", "target", "backend", "codec", "variant", "region", "factor", "mode", "rate", "rate_status", "bitrate_kbps", "metric", "value", "low", "high",
    ...Object.keys(data.metrics), "psnr", "face_px", "n", "gold_sd", "gold_entropy", "subjects", "clips", "gold", "scoring"].filter((key) => points.some((p) => known(p[key])))
    .filter((key) => key !== "run" || data.runs.length > 1)
    .filter((key) => key !== "metric" || unique(points.map((p) => p.metric)).length > 1);
  const sorting = { key: "factor", down: false };
  let pageRows = PAGE;
  function tableRows() {
    const sign = sorting.down ? -1 : 1;
    return points.filter((p) => passes(p)).sort((a, b) => {
      const [x, y] = [a[sorting.key], b[sorting.key]];
      if (!known(x) || !known(y)) return known(x) ? -1 : known(y) ? 1 : 0; // what is missing stays last
      return sign * order(x, y);
    });
  }
  function drawTable() {
    const rows = tableRows();
    const head = make("tr");
    for (const key of COLUMNS) {
      const active = sorting.key === key;
      const button = make("button", { type: "button", text: figureName(key) + (active ? (sorting.down ? " ▼" : " ▲") : ""), "data-sort": key });
      button.addEventListener("click", () => {
        sorting.down = active ? !sorting.down : false;
        sorting.key = key;
        drawTable();
        $("points-table").querySelector(`[data-sort="${key}"]`).focus();
      });
      head.append(make("th", { scope: "col", "aria-sort": active ? (sorting.down ? "descending" : "ascending") : "none" }, button));
    }
    const body = make("tbody");
    for (const p of rows.slice(0, pageRows)) body.append(make("tr", {}, ...COLUMNS.map((key) => make("td", { class: typeof p[key] === "number" ? "number" : "", text: digits(p[key], 4) }))));
    $("points-table").replaceChildren(make("thead", {}, head), body);
    $("table-count").textContent = `${rows.length} of ${points.length} points` + (rows.length > pageRows ? `, the first ${pageRows} shown` : "");
    $("more").hidden = rows.length <= pageRows;
  }
  function saveCsv() {
    const keys = data.tables.points ? data.tables.points.columns : [];
    // A cell that starts like a formula would be run by a spreadsheet; a leading apostrophe keeps it text.
    const quote = (v) => { if (!known(v)) return ""; let text = String(v); if (typeof v === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text; return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
    const text = [keys, ...tableRows().map((p) => keys.map((key) => p[key]))].map((row) => row.map(quote).join(",")).join("\n") + "\n";
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "points.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---- the page -----------------------------------------------------------------------------------------------

  function drawNotes() {
    for (const box of document.querySelectorAll(".notes")) {
      for (const note of data.notes.filter((n) => n.section === box.dataset.for)) {
        box.append(make("p", { class: "note", text: (data.runs.length > 1 ? `${note.run}: ` : "") + note.text }));
      }
    }
  }
  function drawAnswers() {
    $("answers").hidden = !data.answers.length;
    for (const part of data.answers) {
      const box = $("answers-parts");
      box.append(make("h3", { text: (data.runs.length > 1 ? `${part.run}: ` : "") + part.heading }));
      if (part.rows.length) box.append(simpleTable(part.head, part.rows));
      if (part.lines.length) box.append(make("ul", { class: "quiet" }, ...part.lines.map((text) => make("li", { text }))));
    }
  }
  const boxWords = {
    sent: "face boxes are sent beside the video, and their bits are not in the rate",
    charged: "face boxes are sent beside the video, and their bits are in the rate",
    found: "faces are found in decoded pictures, and no boxes are sent",
  };
  function drawGold() {
    const golds = unique(points.filter((p) => passes(p)).map((p) => p.gold));
    const references = golds.map(pristine).filter(Boolean);
    const regions = unique(points.filter((p) => passes(p)).map((p) => p.region));
    const words = [];
    if (references.length < golds.length) words.push(`Scores are ${metricOf(points.filter((p) => passes(p) && !pristine(p.gold)))} against the labels.`);
    if (references.length) words.push(`Scores are agreement with ${references.join(", ")} on pristine frames, not truth.`);
    if (golds.length > 1) words.push("Curves with different gold must not be compared with each other.");
    if (regions.includes("frame")) words.push(`Region frame: ${data.boxes.map((how) => boxWords[how]).join(", or ")}.`);
    words.push(`Rates count ${data.bits} bits.`);
    $("gold").textContent = words.join(" ");
    $("filter-sum").textContent = `${points.filter((p) => passes(p)).length} of ${points.length} points`;
  }
  function drawProvenance() {
    for (const { run, facts, left_out: left } of data.provenance) {
      const body = make("tbody");
      for (const [key, value] of facts) {
        const long = value.length > 120 || value.includes("\n");
        body.append(make("tr", {}, make("td", { text: key }), make("td", {}, long ? make("pre", { tabindex: "0", text: value }) : value)));
      }
      $("facts").append(make("h3", { text: run }), make("table", { class: "facts" }, body));
      if (left.length) $("facts").append(make("details", {}, make("summary", { text: `${left.length} clips or points take no part` }), make("ul", {}, ...left.map((text) => make("li", { text })))));
    }
  }

  function refresh() {
    drawCurves();
    drawStandalone();
    drawEnvelope();
    drawBd();
    pageRows = PAGE;
    drawTable();
    drawGold();
    document.body.dataset.drawn = String(Number(document.body.dataset.drawn || 0) + 1);
  }
  function recolour() {
    drawCurves();
    drawStandalone();
    drawEnvelope();
    drawDifferences();
    drawTime();
  }

  const THEMES = ["auto", "light", "dark"];
  function theme(name) {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    $("theme").textContent = `Theme: ${name}`;
    try { localStorage.setItem("rdbench-theme", name); } catch { /* a page from a file may have no storage */ }
  }
  let saved = "auto";
  try { saved = localStorage.getItem("rdbench-theme") || "auto"; } catch { /* as above */ }
  theme(THEMES.includes(saved) ? saved : "auto");
  $("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "auto";
    theme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
    recolour();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

  $("title").textContent = data.runs.join(", ");
  $("title").title = data.runs.join(", ");
  $("foot").textContent = `Made by rdbench ${data.version}. This page is complete in itself: it asks nothing of any server.`;
  for (const id of ["bands", "levels", "hollow"]) $(id).addEventListener("change", () => { drawCurves(); drawStandalone(); drawEnvelope(); });
  $("reset").addEventListener("click", () => {
    firstChoice();
    drawFilters();
    refresh();
  });
  $("more").addEventListener("click", () => { pageRows += PAGE; drawTable(); });
  $("csv").addEventListener("click", saveCsv);
  if (narrow()) $("filter-box").open = false;
  drawAnswers();
  drawNotes();
  drawFilters();
  drawProvenance();
  refresh();
  drawTime();
  drawViewer();
})();
