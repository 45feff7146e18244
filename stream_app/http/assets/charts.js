// Charts, by uPlot: lines over time that share one axis, and curves.

import { briefSeconds, byId, element, moment, number, seconds } from "./format.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const made = [];
// Labels at a logarithmic axis.
const MOST_LABELS = 7;
// Seconds that charts over time go back from their newest row.
let span = Infinity;

const lines = (specs) =>
  specs.map(({ label, color, dash, scale, points }) => ({
    label,
    stroke: () => style(color),
    width: 1.75,
    dash,
    scale: scale ?? "y",
    points: { show: points ?? false, size: 6 },
    spanGaps: true,
  }));

const rule = () => ({ stroke: () => style("--line"), width: 1 });

const axis = (more) => ({
  stroke: () => style("--soft"),
  grid: rule(),
  ticks: rule(),
  ...more,
});

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
const ages = (_, values) => values.map((value) => (value === null ? null : briefSeconds(value)));
const figures = (_, values) => values.map((value) => compact.format(value));

// From that many seconds between two ticks on, by 24 hours; the second line where the day, or the minute, is new.
const times = [
  [365 * 86400, "{YYYY}", null, null, null, null, null, null, 1],
  [28 * 86400, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, ":{ss}", "\n{D} {MMM} {HH}:{mm}", null, "\n{D} {MMM} {HH}:{mm}", null, "\n{HH}:{mm}", null, 1],
  [0.001, ":{ss}.{fff}", "\n{D} {MMM} {HH}:{mm}", null, "\n{D} {MMM} {HH}:{mm}", null, "\n{HH}:{mm}", null, 1],
];

const key = ({ color, dash }) => element("span", { class: `key key${color}${dash ? (dash[0] < 4 ? " dotted" : " dashed") : ""}`, "aria-hidden": "true" });

// What each line is: colours alone would not say it.
function keys(box, specs) {
  box.parentElement.querySelector(".keys")?.remove();
  box.after(element("ul", { class: "keys" }, ...specs.map((spec) => element("li", null, key(spec), spec.label))));
}

// What the lines say under the pointer; it floats, so nothing moves. Who does not see charts has the sentence below them.
function readout(specs, place, figure) {
  const told = element("div", { class: "readout", hidden: true, "aria-hidden": "true" });
  return (chart) => {
    const { left, idx } = chart.cursor;
    const found = specs.map((spec, index) => [spec, chart.data[index + 1]?.[idx]]).filter(([, value]) => typeof value === "number");
    told.hidden = !(left >= 0 && found.length && chart.over.matches(":hover"));
    if (told.hidden) return;
    told.replaceChildren(place(chart.data[0][idx]), ...found.map(([spec, value]) => element("div", null, key(spec), `${spec.label} ${figure(value, spec)}`)));
    if (told.parentElement !== chart.over) chart.over.append(told);
    told.className = `readout ${left > chart.over.clientWidth / 2 ? "left" : "right"}`;
  };
}

function plot(id, options, data) {
  const box = byId(id);
  const place = options.scales.x.time ? moment : (x) => `${options.axes[0].label} ${number(x)}`;
  const shown = readout(options.keyed, place, options.figure ?? number);
  options = { ...options, hooks: { ...options.hooks, setCursor: [shown] } };
  const chart = new uPlot({ width: Math.max(box.clientWidth, 200), height: box.clientHeight, legend: { show: false }, ...options }, data, box);
  // Only as wide as its box, and never the other way round: nothing may move.
  new ResizeObserver(() => chart.setSize({ width: Math.max(box.clientWidth, 200), height: box.clientHeight })).observe(box);
  made.push(chart);
  keys(box, options.keyed);
  return chart;
}

// Every power of ten, or every second or third one where there are many, or twice and five times it, too, where there are few.
function powersOfTen(_, splits) {
  const exponents = splits.map((value) => Number(Math.log10(value).toFixed(6)));
  const found = exponents.filter(Number.isInteger).length;
  if (found < 2) return splits.map((value, index) => ([1, 2, 5].includes(Number((10 ** (exponents[index] - Math.floor(exponents[index]))).toFixed(3))) ? value : null));
  const step = Math.ceil(found / MOST_LABELS);
  return splits.map((value, index) => (Number.isInteger(exponents[index] / step) ? value : null));
}

// Lines from `others` on may be as far off as the first ones are apart, and are cut beyond: one that is far worse would flatten all.
export const rangeOfFirst = (others) => (chart, low, high) => {
  if (low === null) return [0, 1];
  const [from, to] = chart.series[0].idxs;
  const seen = chart.data.slice(1, others).flatMap((line) => line.slice(from, to + 1)).filter((value) => value !== null && value !== undefined);
  if (!seen.length) return uPlot.rangeNum(low, high, 0.1, true);
  const [least, most] = seen.reduce(([less, more], value) => [Math.min(less, value), Math.max(more, value)], [Infinity, -Infinity]);
  const room = most - least || Math.abs(most);
  return uPlot.rangeNum(Math.max(low, least - room), Math.min(high, most + room), 0.1, true);
};

const shownTimes = (_, first, last) => {
  if (first === null) return [first, last];
  return first < last ? [Math.max(first, last - span), last] : [first - 1, last + 1];
};

// Half a date, where no axis is to the left or right of the plot: the first or last one would be cut.
const roomForDates = (_, side, hasAxis) => (hasAxis[side] ? 0 : 44);

// With `isLog` equal ratios are equally far apart: microseconds and hours are both seen.
export function overTime(id, specs, { second, hooks, isLog, range } = {}) {
  const axes = [axis({ values: times, space: 64 }), axis({ size: 62, ...(isLog ? { values: ages, filter: powersOfTen, grid: { ...rule(), filter: powersOfTen }, ticks: { ...rule(), filter: powersOfTen } } : { values: figures }) })];
  if (second) axes.push(axis({ scale: second, side: 1, size: 62, values: figures, grid: { show: false } }));
  const options = {
    keyed: specs,
    figure: (value, { scale }) => (isLog && !scale ? seconds(value) : number(value)),
    series: [{}, ...lines(specs).map((line) => ({ ...line, spanGaps: false }))],
    axes,
    padding: [null, roomForDates, null, roomForDates],
    scales: { x: { time: true, range: shownTimes }, y: isLog ? { distr: 3 } : { range } },
    cursor: { sync: { key: "time" }, drag: { x: true, y: false } },
    hooks: { ...hooks, setSelect: [(chart) => zoom(chart, chart.isZoomed || chart.select.width > 0)] },
  };
  const chart = plot(id, options, [[], ...specs.map(() => [])]);
  chart.over.addEventListener("dblclick", () => overTimeAnew());
  const still = (event) => event.stopPropagation();
  chart.whole = element("button", { class: "whole", type: "button", hidden: true, on: { click: overTimeAnew, mousedown: still, dblclick: still } }, "Zoomed: show all");
  chart.over.append(chart.whole);
  return chart;
}

// New rows; who has zoomed in sees what they zoomed in on.
export function extend(chart, data) {
  chart.setData(data, !chart.isZoomed);
  if (chart.isZoomed) chart.redraw();
}

function zoom(chart, isZoomed) {
  chart.isZoomed = isZoomed;
  if (chart.whole) chart.whole.hidden = !isZoomed;
}

function overTimeAnew() {
  for (const chart of made) {
    zoom(chart, false);
    chart.setData(chart.data);
  }
}

// All charts over time show so many seconds back from now.
export function goBack(seconds) {
  span = seconds;
  overTimeAnew();
}

export function curve(id, specs, x, y) {
  const options = {
    keyed: specs,
    series: [{}, ...lines(specs)],
    axes: [axis({ label: x, labelSize: 20, size: 40, values: figures }), axis({ label: y, labelSize: 20, size: 48, values: figures })],
    scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
    cursor: { drag: { x: false, y: false } },
  };
  return plot(id, options, [[0, 1], ...specs.map(() => [null, null])]);
}

export function histogram(id, specs, x) {
  const drawn = lines(specs).map((line, index) => ({
    ...line,
    fill: () => `${style(specs[index].color)}55`,
    paths: uPlot.paths.bars({ size: [0.42, 60], align: index === 0 ? -1 : 1 }),
  }));
  const options = {
    keyed: specs,
    series: [{}, ...drawn],
    axes: [axis({ label: x, labelSize: 20, size: 40, values: figures }), axis({ size: 62, values: figures })],
    scales: { x: { time: false, range: [0, 1] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
    cursor: { drag: { x: false, y: false } },
  };
  return plot(id, options, [[], ...specs.map(() => [])]);
}

// Two lines that do not share their x: on all x of both, with gaps.
export function merged(...pairs) {
  const places = [...new Set(pairs.flatMap((points) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const columns = pairs.map((points) => {
    const known = new Map(points);
    return places.map((x) => known.get(x) ?? null);
  });
  return [places, ...columns];
}

export const repaint = () => made.forEach((chart) => chart.redraw(false, true));

export function drop(chart) {
  made.splice(made.indexOf(chart), 1);
  chart.destroy();
}
