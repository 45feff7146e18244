// What the model is worth: money by cell, against always saying yes or no.

import { extend, overTime } from "./charts.js";
import { byId, count, fixed, money, num, redraw, row, say, tiles } from "./format.js";
import { offered } from "./service.js";

let chart = null;

async function refresh(isSet) {
  byId("value-panel").hidden = !isSet;
  const found = isSet && (await offered("/value"));
  if (!found) return;
  chart ??= overTime("value", [{ label: "value", color: "--c" }]);
  const { currency } = found;
  const told = (value) => money(value, currency);
  tiles(byId("value-tiles"), [
    ["In total", told(found.total.value), `${told(found.total.per_1000)} per 1,000`],
    ["Over the window", told(found.window.value), `${told(found.window.per_1000)} per 1,000`],
    ["Above the better of always yes and no", told(found.total.over_better), `window ${told(found.window.over_better)}`],
    ["Threshold that paid best so far", fixed(found.hindsight.threshold, 3), `decided by ${fixed(found.threshold, 3)}`],
  ]);
  redraw(byId("value-cells").tBodies[0], found.total.cells, () =>
    found.total.cells.map((cell) => row(String(cell.actual), String(cell.predicted), num(count(cell.count)), num(told(cell.each)), num(told(cell.value)))),
  );
  const policies = [
    [`the model, from ${fixed(found.threshold, 3)} on`, found.total.value],
    ["always yes", found.total.always_yes],
    ["always no", found.total.always_no],
    [`each by the threshold that had paid best before it (now ${fixed(found.progressive.threshold, 3)})`, found.progressive.value],
    [`the best threshold in hindsight (${fixed(found.hindsight.threshold, 3)})`, found.hindsight.value],
    ...found.shadows.map((one) => [`shadow ${one.name}, over ${count(one.count)} events (its primary ${told(one.primary_value)})`, one.value]),
  ];
  redraw(byId("value-policies").tBodies[0], policies, () => policies.map(([name, value]) => row(name, num(told(value)))));
  say("value-says", `So far ${told(found.total.value)}.`);
}

function draw(at, values) {
  if (chart && !byId("value-panel").hidden) extend(chart, [at, values]);
}

const tile = (status) =>
  status.value ? [["Value", money(status.value.total, status.value.currency), `${money(status.value.per_1000, status.value.currency)} per 1,000`]] : [];

export const value = { refresh, draw, tile };
