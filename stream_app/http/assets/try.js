// Try an event: what the live model says, what each field contributes, and what another value would do.

import { bar, byId, element, fixed, number, say } from "./format.js";
import { getTrusted, predict, Refused } from "./service.js";

const event = byId("try-event");
let baseline = null;
let unexplained = null;

// Why answers of this learner are not explained; null where they are.
export const explains = (why) => (unexplained = why);

byId("try").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  baseline = null;
  ask(event.value);
});

byId("try-last").addEventListener("click", async () => {
  try {
    const { event: latest } = await getTrusted("/events/latest");
    event.value = pretty(latest);
    baseline = null;
    await ask(event.value);
  } catch (error) {
    say("try-answer", error.message);
  }
});

function pretty(text) {
  try {
    const parsed = JSON.parse(text);
    delete parsed.label;
    delete parsed.id;
    return JSON.stringify(parsed, null, 1);
  } catch {
    return text;
  }
}

async function ask(text) {
  try {
    const answer = await predict(text.replace(/^[\r\n]+|[\r\n]+$/g, ""), !unexplained);
    if (answer.model === undefined) throw new Refused(400, { message: "One event at a time, please." });
    baseline ??= answer;
    show(text, answer);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say("try-answer", error.message);
    byId("try-fields").hidden = true;
    say("try-reasons", "");
  }
}

function show(text, answer) {
  const told = (value) => (Array.isArray(value) ? `[${value.map(told).join(", ")}]` : number(value));
  const was = baseline !== answer ? `; it was ${told(baseline.prediction)}` : "";
  say("try-answer", `${told(answer.prediction)} by ${answer.model}${was}`);
  const values = new Map(flat(text));
  const fields = answer.fields ?? [];
  const longest = Math.max(...fields.map((one) => Math.abs(one.contribution)), 1e-300);
  const names = new Set(fields.map((one) => one.field));
  const rows = [
    ...fields.map((one) => [one.field, one.contribution]),
    ...[...values.keys()].filter((name) => !names.has(name)).map((name) => [name, unexplained ? null : 0]),
  ];
  byId("try-fields").hidden = !rows.length;
  byId("try-fields").tBodies[0].replaceChildren(
    ...rows.map(([name, contribution]) =>
      element(
        "tr",
        null,
        element("th", { scope: "row" }, name),
        element("td", null, values.has(name) ? JSON.stringify(values.get(name)) : ""),
        element("td", null, values.has(name) ? whatIf(name, values.get(name)) : ""),
        element("td", { class: "num" }, fixed(contribution, 4)),
        element("td", null, bar(Math.abs(contribution) / longest, contribution < 0)),
      ),
    ),
  );
  const { reasons } = answer;
  const list = (some) => some.map((one) => `${one.field} (${fixed(one.contribution, 3)})`).join(", ") || "nothing";
  say("try-reasons", unexplained ? `Not explained: ${unexplained}.` : reasons ? `For: ${list(reasons.for)}. Against: ${list(reasons.against)}.` : "");
}

// The features of a JSON event by the names that contributions have: namespace^name, or name.
function flat(text) {
  try {
    const { features } = JSON.parse(text);
    return Object.entries(features ?? {}).flatMap(([name, value]) =>
      value !== null && typeof value === "object" && !Array.isArray(value)
        ? Object.entries(value).map(([inner, one]) => [`${name}^${inner}`, one])
        : [[name, value]],
    );
  } catch {
    return [];
  }
}

function whatIf(name, value) {
  const shown = typeof value === "string" ? value : JSON.stringify(value);
  const input = element("input", { "aria-label": `${name}, another value`, value: shown, size: 12 });
  input.addEventListener("change", async () => {
    event.value = changed(event.value, name, input.value, typeof value === "string");
    await ask(event.value);
    [...document.querySelectorAll("#try-fields input")].find((other) => other.ariaLabel === input.ariaLabel)?.focus();
  });
  return input;
}

function changed(text, name, value, isText) {
  const parsed = JSON.parse(text);
  let next = value;
  if (!isText) {
    try {
      next = JSON.parse(value);
    } catch {
      // It stays the text that was typed: the service says what is wrong with it.
    }
  }
  const [namespace, ...rest] = name.split("^");
  if (rest.length && typeof parsed.features[namespace] === "object") parsed.features[namespace][rest.join("^")] = next;
  else parsed.features[name] = next;
  return JSON.stringify(parsed, null, 1);
}
