// Try an event: what the live model says, what each field contributes, and what other values would do.

import { balance, byId, element, fixed, number, say, weigh } from "./format.js";
import { taken } from "./raw_fields.js";
import { getTrusted, predict, Refused } from "./service.js";

const event = byId("try-event");
let form = null;
let unexplained = null;
// The event as it was asked for first, its answer, and its rows in the table; null before.
let original = null;
// Values typed instead of the original ones, by their place.
let changes = new Map();
let asked = 0;

// Why answers of this learner are not explained; null where they are.
export const explains = (why) => (unexplained = why);

// How events of this service are written.
export function reads(told) {
  form = told;
  const isRow = form.separator !== null;
  const how = { json: "JSON", vw: "VW text", csv: "a row of CSV", tsv: "a row of tab-separated values" }[form.format] ?? form.format;
  const columns = isRow ? ` of the columns ${form.columns.join(", ")}; a header may stand above it` : "";
  const isForeign = !["utf-8", "utf8", "ascii", "us-ascii"].includes(form.encoding.toLowerCase());
  say("try-form", `An event of this service is ${how}${columns}.${isForeign ? ` The service reads ${form.encoding}, and this page sends UTF-8: letters beyond ASCII are misread.` : ""}`);
}

byId("try").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  begin(event.value);
});

byId("try-last").addEventListener("click", async () => {
  try {
    const { event: latest } = await getTrusted("/events/latest");
    event.value = form?.format === "json" ? pretty(latest) : latest;
    await begin(event.value);
  } catch (error) {
    say("try-answer", error.message);
  }
});

byId("try-back").addEventListener("click", () => {
  for (const { input, raw } of original.rows) if (input) input.value = raw.value;
  changes = new Map();
  event.value = original.text;
  asked++;
  tell(original.answer);
});

function pretty(text) {
  try {
    const parsed = JSON.parse(text);
    const isFlat = !parsed.features && !parsed.actions;
    delete parsed[isFlat ? form.label : "label"];
    delete parsed[isFlat ? form.id : "id"];
    return JSON.stringify(parsed, null, 1);
  } catch {
    return text;
  }
}

// The answer; null where there is none, which is said, and undefined where another one was asked for meanwhile.
async function answered(text) {
  const number = ++asked;
  try {
    const answer = await predict(text.replace(/^[\r\n]+|[\r\n]+$/g, ""), !unexplained);
    if (answer.model === undefined) throw new Refused(400, { message: "One event at a time, please." });
    return number === asked ? answer : undefined;
  } catch (error) {
    if (number !== asked) return undefined;
    say("try-answer", error instanceof Refused ? error.message : "The service does not answer.");
    return null;
  }
}

async function begin(text) {
  changes = new Map();
  original = null;
  byId("try-fields").hidden = true;
  byId("try-back").disabled = true;
  say("try-reasons", "");
  const answer = await answered(text);
  if (!answer) return;
  const body = text.replace(/^[\r\n]+|[\r\n]+$/g, "");
  original = { text, answer, ...taken(body, form) };
  original.rows = rowsOf(original);
  byId("try-fields").tBodies[0].replaceChildren(...original.rows.map(({ line }) => line));
  byId("try-fields").hidden = !original.rows.length;
  tell(answer);
}

// A row for each raw field, and for what else contributes; the heaviest first, as the original event has them. They stay.
function rowsOf({ fields, answer }) {
  const contributions = of(answer);
  const heaviest = [...contributions.keys()];
  const place = ({ field }) => (field === null ? Infinity : contributions.has(field) ? heaviest.indexOf(field) : heaviest.length);
  const met = new Map();
  const raws = fields.map((raw, index) => {
    const times = (met.get(raw.field ?? `\0${raw.name}`) ?? 0) + 1;
    met.set(raw.field ?? `\0${raw.name}`, times);
    const label = (raw.field ?? raw.name) + (raw.field && raw.field.split("^").at(-1) !== raw.name ? ` (from ${raw.name})` : "");
    return { raw, index, field: raw.field, isAgain: times > 1, label: times > 1 ? `${label}, number ${times}` : label };
  });
  const others = heaviest.filter((field) => !met.has(field)).map((field) => ({ field, label: field }));
  return [...raws, ...others].sort((one, other) => place(one) - place(other)).map(drawn);
}

const of = (answer) => new Map((answer.fields ?? []).map((one) => [one.field, one.contribution]));

function drawn(row) {
  const { raw, index, label } = row;
  const input = raw && element("input", { "aria-label": `${label}, another value`, value: raw.value, size: 12, autocomplete: "off", on: { change: () => whatIf(index, input.value) } });
  const was = element("td", { class: "num" });
  const now = element("td", { class: "num" });
  const bars = [balance(), balance("then")];
  const line = element("tr", null, element("th", { scope: "row" }, label), element("td", { class: "raw" }, raw ? raw.value : ""), element("td", null, input), was, now, element("td", null, ...bars));
  return { ...row, input, line, was, now, bars };
}

async function whatIf(index, typed) {
  if (typed === original.fields[index].value) changes.delete(index);
  else changes.set(index, typed);
  let text;
  try {
    text = changes.size ? original.written(changes) : original.text;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    asked++;
    say("try-answer", error.message);
    unchanged();
    return;
  }
  event.value = text;
  byId("try-back").disabled = !changes.size;
  const answer = changes.size ? await answered(text) : (asked++, original.answer);
  if (answer) tell(answer);
  else if (answer === null) unchanged();
}

// There is nothing to show beside what was.
function unchanged() {
  for (const row of original.rows) {
    say(row.now, "");
    weigh(row.bars[1], null, 1);
  }
}

const told = (value) => (Array.isArray(value) ? `[${value.map(told).join(", ")}]` : number(value));

// The answer beside the original one; of a row nothing but its figures and bars is written.
function tell(answer) {
  const isChanged = answer !== original.answer;
  const { prediction, model } = original.answer;
  byId("try-back").disabled = !changes.size;
  const since = answer.model === model ? "" : ", which has learnt more since";
  say("try-answer", isChanged ? `${told(answer.prediction)} by ${answer.model}${since}, with what you changed; it was ${told(prediction)}` : `${told(prediction)} by ${model}`);
  const [was, now] = [of(original.answer), of(answer)];
  const longest = Math.max(...[...was.values(), ...now.values()].map(Math.abs), 1e-300);
  for (const row of original.rows) contribute(row, row.isAgain || unexplained ? null : [was.get(row.field), now.get(row.field)], isChanged, longest);
  const { reasons } = answer;
  const list = (some) => some.map((one) => `${one.field} (${fixed(one.contribution, 3)})`).join(", ") || "nothing";
  const why = unexplained ? `Not explained: ${unexplained}.` : reasons ? `For: ${list(reasons.for)}. Against: ${list(reasons.against)}.` : "";
  say("try-reasons", [why, original.remark].filter(Boolean).join(" "));
}

function contribute(row, pair, isChanged, longest) {
  const isFeature = row.field !== null;
  const [was, now] = pair && isFeature ? pair.map((one) => one ?? 0) : [null, null];
  say(row.was, isFeature ? (row.isAgain ? "see above" : fixed(was, 4)) : "no feature");
  say(row.now, isChanged && now !== null ? fixed(now, 4) : "");
  row.line.classList.toggle("changed", changes.has(row.index));
  weigh(row.bars[0], was, longest);
  weigh(row.bars[1], isChanged ? now : null, longest);
}
