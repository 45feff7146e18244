// Of classifiers: what was predicted, how that matches what came true, and the confusion of the two.

import { curve, histogram, merged } from "./charts.js";
import { byId, count, element, fixed, redraw, say } from "./format.js";
import { offered } from "./service.js";

let charts = null;
// What labels say, and what is learnt for each; empty where the schema names none.
let labels = [];

export const namesOf = (form) => (labels = Object.entries(form.labels));

// What the schema calls one of the two kinds, or a class; as it is where it has no name.
function called(kind, isBinary) {
  const isIt = isBinary ? (value) => (value > 0 ? "positive" : "negative") === kind : (value) => value === Number(kind);
  return labels.filter(([, value]) => isIt(value)).map(([name]) => name).join(" or ") || String(kind);
}

function build() {
  const diagonal = { label: "diagonal", color: "--e", dash: [4, 4] };
  charts = {
    scores: histogram("scores", [{ label: called("negative", true), color: "--b" }, { label: called("positive", true), color: "--a" }], "probability"),
    calibration: curve("calibration", [{ label: "total", color: "--a", points: true }, { label: "window", color: "--b", points: true }, diagonal], "predicted", "observed"),
    roc: curve("roc", [{ label: "total", color: "--a" }, { label: "window", color: "--b" }, diagonal], "false positive rate", "true positive rate"),
    pr: curve("pr", [{ label: "total", color: "--a" }, { label: "window", color: "--b" }], "recall", "precision"),
  };
}

const ends = [[0, 0], [1, 1]];

function reliability(figures) {
  return (figures?.calibration?.bins ?? []).filter((bin) => bin.count).map((bin) => [bin.mean_predicted, bin.observed_rate]);
}

export async function curves(report) {
  const found = await offered("/progress/curves");
  const isBinary = report.task === "binary";
  for (const panel of document.querySelectorAll(".binary")) panel.hidden = !isBinary;
  confusion(report);
  if (!isBinary) return;
  if (!charts) build();
  const { total, window } = report;
  charts.calibration.setData(merged(reliability(total), reliability(window), ends));
  say("calibration-says", `Expected error: total ${fixed(total.calibration?.expected_error, 4)}, window ${fixed(window.calibration?.expected_error, 4)} (dashed: perfect).`);
  say("roc-says", `Area: total ${fixed(total.roc_auc, 4)}, window ${fixed(window.roc_auc, 4)}.`);
  say("pr-says", `At 0.5: precision ${fixed(total.precision, 4)}, recall ${fixed(total.recall, 4)}, F1 ${fixed(total.f1, 4)}.`);
  if (found) drawn(found);
}

function drawn({ total, window }) {
  const roc = (figures) => figures.roc.map((point) => [point.false_positive_rate, point.recall]);
  const pr = (figures) => figures.precision_recall.map((point) => [point.recall, point.precision]);
  charts.roc.setData(merged(roc(total), roc(window), ends));
  charts.pr.setData(merged(pr(total), pr(window)));
  const bins = total.scores;
  charts.scores.setData([bins.map((bin) => (bin.from + bin.to) / 2), bins.map((bin) => bin.negative), bins.map((bin) => bin.positive)]);
  const weight = (kind) => bins.reduce((sum, bin) => sum + bin[kind], 0);
  say("scores-says", `By what came true: ${count(weight("negative"))} ${called("negative", true)}, ${count(weight("positive"))} ${called("positive", true)}.`);
}

// Rows are what came true, columns what was predicted, both by name.
function confusion({ total, task }) {
  const cells = total.confusion ?? [];
  const isBinary = task === "binary";
  byId("confusion-panel").hidden = !cells.length;
  const kinds = (of) => [...new Set(cells.map((cell) => cell[of]))];
  const of = (actual, predicted) => cells.find((cell) => cell.actual === actual && cell.predicted === predicted)?.count ?? 0;
  redraw(byId("confusion"), [cells, labels], () => [
    element("thead", null, element("tr", null, element("td", null), ...kinds("predicted").map((kind) => element("th", { scope: "col", class: "num" }, `predicted ${called(kind, isBinary)}`)))),
    element("tbody", null, ...kinds("actual").map((actual) => element("tr", null, element("th", { scope: "row" }, `actual ${called(actual, isBinary)}`), ...kinds("predicted").map((predicted) => element("td", { class: "num" }, count(of(actual, predicted))))))),
  ]);
  const all = cells.reduce((sum, cell) => sum + cell.count, 0);
  const how = isBinary ? `${called("positive", true)} is predicted from a probability of 0.5 on` : labels.length ? "classes as the schema names them" : "classes by number";
  say("confusion-says", `${count(all)} labelled events; ${how}.`);
}
