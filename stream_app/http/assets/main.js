// The page: what is live, drawn from one frame a second; the rest is asked for when it may have changed.

import { drop, extend, goBack, overTime, rangeOfFirst, repaint } from "./charts.js";
import { checkpoints, placeTimeline } from "./checkpoints.js";
import { deadLetters } from "./dead_letters.js";
import { bars, byId, count, element, fixed, moment, num, number, percent, redraw, row, say, seconds, tiles, zone } from "./format.js";
import { features } from "./features.js";
import { curves, namesOf } from "./scores.js";
import { follow, offered } from "./service.js";
import { explains, reads } from "./try.js";
import { value } from "./value.js";

const MOST_ROWS = 4096;
// How long the page waits, at first, for all that it shows below, so that nothing moves once it is seen.
const PATIENCE_MS = 1500;
// Without a frame for so long nobody answers, though the stream may be open.
const SILENCE_MS = 10_000;
const COLORS = ["--a", "--b", "--c", "--d"];

let columns = [];
let data = [];
let charts = {};
let shadows = "";
let isFetching = false;
let isNew = true;
// The last frame, and when one came by the browser's clock.
let latest = null;
let heardAt = document.hidden ? Infinity : Date.now();
const asked = {};

const column = (name) => data[columns.indexOf(name)] ?? data[0].map(() => null);

function draw() {
  const extra = columns.filter((name) => name.startsWith("shadow "));
  if (shadows !== extra.join() || !charts.loss) build(extra);
  const at = data[0];
  const show = (chart, names) => extend(chart, [at, ...names.map(column)]);
  const positive = (name) => (name === "lag" ? column(name) : column(name).map((value) => value && Math.max(value, 1e-5)));
  const showLog = (chart, names) => extend(chart, [at, ...names.map(positive)]);
  // What checkpoints know of the time before the first row.
  const past = checkpoints.past(at[0] ?? Infinity);
  const names = ["loss", "loss_window", "loss_fading", "baseline", "baseline_window", ...extra];
  extend(charts.loss, [
    [...past.map(([then]) => then), ...at],
    ...names.map((name, index) => [...past.map(([, loss]) => (index ? null : loss)), ...column(name)]),
  ]);
  show(charts.rates, ["events_per_s", "labels_per_s", "predictions_per_s", "dead_letters_per_s"]);
  showLog(charts.fresh, ["servable_p50", "servable_p99", "event_age_p50", "event_age_p99", "lag"]);
  showLog(charts.latency, ["predict_p50", "predict_p99"]);
  value.draw(at, column("value"));
}

function build(extra) {
  Object.values(charts).forEach(drop);
  shadows = extra.join();
  const of = (names) => names.map((label, index) => ({ label, color: COLORS[index % COLORS.length] }));
  const loss = [
    ...of(["total", "window", "fading"]),
    { label: "guess", color: "--e", dash: [6, 4] },
    { label: "guess, window", color: "--e", dash: [2, 3] },
    ...extra.map((label, index) => ({ label, color: COLORS[(index + 3) % COLORS.length], dash: [8, 2, 2, 2] })),
  ];
  charts = {
    loss: overTime("loss", loss, { hooks: { draw: [placeTimeline] }, range: rangeOfFirst(loss.length - extra.length + 1) }),
    rates: overTime("rates", of(["events", "labels", "predictions", "dead letters"])),
    fresh: overTime("fresh", [...of(["servable p50", "servable p99", "event p50", "event p99"]), { label: "backlog", color: "--e", dash: [4, 3], scale: "records" }], { second: "records", isLog: true }),
    latency: overTime("latency", of(["p50", "p99"]), { isLog: true }),
  };
}

function said(frame) {
  const { status, figures, latency_s: latency } = frame;
  const at = Object.fromEntries(columns.map((name, index) => [name, frame.row[index]]));
  document.title = `${status.name}: ${number(status.average_loss)} · Weir`;
  say("name", status.name);
  say("what", `${status.task} · ${status.role} · ${status.model}`);
  const state = !status.ready ? ["not ready", "bad"] : status.role !== "learner" ? [`serving, ${status.role}`, "good"] : [status.lag ? "learning" : "learning, up to date", "good"];
  say("state", state[0]);
  byId("state").className = `pill ${state[1]}`;
  notices(frame);
  tiles(byId("tiles"), [
    ["Events learnt", count(figures.total.labelled), `${number(at.events_per_s)} per s`],
    ["Average loss", number(status.average_loss), `window ${number(figures.window.average_loss)}`],
    quality(figures),
    ["Predictions since start", count(status.predictions), `${number(at.predictions_per_s)} per s`],
    ["Labels since start", count(status.labels), `${number(at.labels_per_s)} per s`],
    ["/predict p99", seconds(latency.predict.p99), `p50 ${seconds(latency.predict.p50)}`],
    ["Backlog", count(status.lag), "records to learn"],
    ["Servable after", seconds(latency.servable.p50), `p99 ${seconds(latency.servable.p99)}`],
    ["Dead letters", count(status.dead_letters), `${count(status.duplicates)} duplicates`, status.dead_letters ? "warn" : ""],
    ["Checkpoint", status.checkpoint ? status.checkpoint.slice(7, 15) : "–", status.checkpoint ? `${seconds(status.checkpoint_age_s)} ago` : "none yet"],
    ...value.tile(status),
  ]);
  say("loss-says", `Latest: total ${number(at.loss)}, window ${number(at.loss_window)}, fading ${number(at.loss_fading)}; guessing ${number(at.baseline)}, over the window ${number(at.baseline_window)}.${frame.shadows.map((one) => ` Shadow ${one.name}: ${number(one.status?.figures.loss)}${one.status?.figures.loss > charts.loss.scales.y.max ? ", above the chart" : ""}.`).join("")}`);
  say("rates-says", `Latest: ${number(at.events_per_s)} events, ${number(at.labels_per_s)} labels, ${number(at.predictions_per_s)} predictions, ${number(at.dead_letters_per_s)} dead letters.`);
  say("fresh-says", `From append to servable: p50 ${seconds(latency.servable.p50)}, p99 ${seconds(latency.servable.p99)}; since the event itself: p50 ${seconds(latency.event_age.p50)}, p99 ${seconds(latency.event_age.p99)}. ${count(status.lag)} records wait.`);
  say("latency-says", `Of the latest: p50 ${seconds(latency.predict.p50)}, p90 ${seconds(latency.predict.p90)}, p99 ${seconds(latency.predict.p99)}.`);
  redraw(byId("stages").tBodies[0], latency, () =>
    Object.entries(latency).map(([stage, q]) => row(stage.replaceAll("_", " "), num(seconds(q.p50)), num(seconds(q.p90)), num(seconds(q.p99)))),
  );
  explains(status.unexplained);
  funnel(frame.funnel);
  baselines(figures);
  shadowTable(frame.shadows);
}

function quality(figures) {
  const { total, window } = figures;
  if (total.accuracy !== undefined) return ["Accuracy", percent(total.accuracy), `window ${percent(window.accuracy)}`];
  if (total.rmse !== undefined) return ["RMSE", number(total.rmse), `window ${number(window.rmse)}`];
  return ["Fading loss", number(figures.fading.average_loss), ""];
}

function notices({ status, figures, alerts }) {
  const found = [
    ...(status.problems ?? []).map((text) => [text, "bad"]),
    ...alerts.map((one) => [`Alert, ${one.name.replaceAll("_", " ")}: ${one.summary}; it fires above ${one.threshold}. What to do: ${one.runbook}`, "bad"]),
    ...status.warnings.map((text) => [text, "warn"]),
    ...(figures.beaten_by ?? []).map((name) => [beaten(name, figures.window), "warn"]),
  ];
  redraw(byId("notices"), found, () => found.map(([text, mood]) => element("li", { class: mood }, text)));
}

// By the figure that decides who does better.
function beaten(name, window) {
  const guess = window.baselines[name];
  const [of, told] = name === "constant" && "log_loss" in guess ? ["log_loss", number] : "accuracy" in guess ? ["accuracy", percent] : ["rmse", number];
  return `Over the window, the guess “${name.replaceAll("_", " ")}” does better than the model: ${of === "rmse" ? "RMSE" : of.replaceAll("_", " ")} ${told(guess[of])}, the model ${told(window[of])}.`;
}

function funnel(figures) {
  const parts = [["predicted", figures.predicted], ["waiting for a label", figures.waiting], ["labelled in time", figures.in_time], ["label too late", figures.late], ["expired without a label", figures.expired], ["second label", figures.duplicate], ["label of nothing known", figures.orphan]];
  bars(byId("funnel"), parts.map(([label, size]) => [label, size ?? 0, count(size)]), "No prediction yet.");
  const { p50, p90, p99 } = figures.delay_s;
  say("delay", `From prediction to label: p50 ${seconds(p50)}, p90 ${seconds(p90)}, p99 ${seconds(p99)}.`);
}

function baselines({ total, window }) {
  const rows = [];
  for (const [who, figures] of Object.entries(total.baselines ?? {})) {
    for (const name of Object.keys(figures).filter((one) => typeof figures[one] === "number")) {
      rows.push(["model", name, total[name], window[name]], [who.replaceAll("_", " "), name, figures[name], window.baselines?.[who]?.[name]]);
    }
  }
  const unique = [...new Map(rows.map((one) => [`${one[0]} ${one[1]}`, one])).values()].sort((a, b) => a[1].localeCompare(b[1]));
  byId("baselines").hidden = !unique.length;
  say("baselines-says", unique.length ? "" : "No simple guess to compare with, or no label yet.");
  redraw(byId("baselines").tBodies[0], unique, () => unique.map(([who, name, all, late]) => row(who, name.replaceAll("_", " "), num(fixed(all, 4)), num(fixed(late, 4)))));
}

function shadowTable(found) {
  byId("shadows-panel").hidden = !found.length;
  redraw(byId("shadows").tBodies[0], found, () =>
    found.map(({ name, state, status }) =>
      row(name, state, num(count(status?.figures.examples)), num(number(status?.figures.loss)), num(number(status?.figures.primary_loss)), num(count(status?.requests)), num(percent(status?.requests ? status.disagreements / status.requests : null)), num(seconds(status?.p99_ms === null || status === null ? null : status.p99_ms / 1000))),
    ),
  );
}

// Ask again where the key differs, or some seconds have passed.
async function every(name, key, afterS, ask) {
  const before = asked[name];
  if (before && (before.isUnderWay || (before.key === key && Date.now() - before.at < 1000 * before.forS))) return;
  const now = (asked[name] = { key, at: Date.now(), forS: afterS, isUnderWay: true });
  try {
    await ask();
  } catch (error) {
    console.warn(name, error.message);
    now.forS = 5;
  }
  now.isUnderWay = false;
}

// What was refused without the token may be told with it.
document.addEventListener("token", () => ["dead letters", "features", "checkpoints"].forEach((name) => delete asked[name]));

const askFor = ({ status, figures, deployed }) =>
  Promise.all([
    every("curves", null, 5, () => curves(figures)),
    every("checkpoints", `${status.checkpoint} ${JSON.stringify(deployed)}`, 30, checkpoints.refresh),
    every("features", status.checkpoint, 3600, () => features(status.checkpoint, status.unexplained)),
    every("dead letters", status.dead_letters, 3600, () => deadLetters(status.dead_letters)),
    every("value", Boolean(status.value), 5, () => value.refresh(Boolean(status.value))),
    every("alerts", JSON.stringify(status.alerts), 10, alerts),
    every("table", null, 10, async () => say("table", (await offered("/progress"))?.table ?? "")),
  ]);

async function alerts() {
  const found = await offered("/alerts");
  redraw(byId("alerts").tBodies[0], found, () =>
    (found?.rules ?? []).map((rule) =>
      row(rule.name.replaceAll("_", " "), element("td", { class: rule.state === "firing" ? "bad" : rule.state === "pending" ? "warn" : "" }, rule.state), num(number(rule.value)), num(number(rule.threshold)), `${rule.summary ? `${rule.summary}: ` : ""}${rule.runbook}`),
    ),
  );
}

async function heard(frame) {
  heardAt = Date.now();
  if (isFetching) return;
  if (isNew || frame.columns !== columns.length || frame.row[0] < data[0].at(-1) || data[0].length >= MOST_ROWS) {
    if (!(await fetched())) return;
  }
  if (!(frame.row[0] <= data[0].at(-1))) frame.row.forEach((figure, index) => data[index]?.push(figure));
  latest = frame;
  checkpoints.seen(frame.status);
  back();
  draw();
  said(frame);
  await Promise.race([askFor(frame), new Promise((passed) => setTimeout(passed, PATIENCE_MS))]);
  main.classList.remove("waiting");
}

// All that is kept; false where it did not say: the next frame asks again.
async function fetched() {
  isFetching = true;
  try {
    const seen = await offered("/watch");
    if (!seen) return false;
    columns = seen.columns;
    reads(seen.events);
    namesOf(seen.events);
    data = columns.map((_, index) => seen.rows.map((values) => values[index] ?? null));
    isNew = false;
    return true;
  } catch {
    return false;
  } finally {
    isFetching = false;
  }
}

say("zone", `Times: ${zone()}`);
const main = byId("main");
const theme = byId("theme");
function dress(name) {
  document.documentElement.dataset.theme = name;
  theme.textContent = name === "dark" ? "Light" : "Dark";
  repaint();
}
const preferred = matchMedia("(prefers-color-scheme: dark)");
dress(localStorage.getItem("weir-theme") ?? (preferred.matches ? "dark" : "light"));
preferred.addEventListener("change", () => localStorage.getItem("weir-theme") ?? dress(preferred.matches ? "dark" : "light"));
theme.addEventListener("click", () => {
  const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("weir-theme", name);
  dress(name);
});
const span = byId("span");
span.value = localStorage.getItem("weir-span") ?? "";
if (span.selectedIndex < 0) span.value = "";
const goThere = () => goBack(Number(span.value) || Infinity);
goThere();
span.addEventListener("change", () => {
  localStorage.setItem("weir-span", span.value);
  goThere();
});
for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());

follow(heard, (isLost) => {
  // It may be another process that answers next, or the same one after a gap.
  isNew = true;
  if (isLost) gone();
  else heardAt = Infinity; // nobody looks
});

setInterval(() => Date.now() - heardAt > SILENCE_MS && gone(), 1000);
document.addEventListener("visibilitychange", () => (heardAt = document.hidden ? Infinity : Date.now()));

// What stands there is of the last frame: it must not look as if it were live.
function gone() {
  main.classList.remove("waiting");
  main.classList.add("gone");
  say("state", "no answer");
  byId("state").className = "pill bad";
  say("gone", latest ? `The service does not answer. What is shown in grey is of ${moment(latest.at)}, the last that was heard of it.` : "The service does not answer.");
  byId("gone").hidden = false;
}

function back() {
  main.classList.remove("gone");
  byId("gone").hidden = true;
}
