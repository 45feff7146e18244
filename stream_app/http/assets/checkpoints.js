// Checkpoints and tags: a table, marks on the time axis of the loss, and what can be done with one.

import { brief, byId, count, element, moment, num, number, percent, redraw, row, say, time } from "./format.js";
import { get, offered, post } from "./service.js";

// Ranges of records that are told one by one.
const MOST_HOLES = 5;

let status = null;
let listed = [];
let deployed = [];
let chosen = null;
let last = null;
const pins = new Map();

const seen = (now) => (status = now);

async function refresh() {
  const found = await get("/checkpoints");
  listed = found.checkpoints;
  const { tags } = await get("/tags");
  const histories = await Promise.all(tags.map(({ tag }) => offered(`/tags/${encodeURIComponent(tag)}/history`)));
  deployed = histories.flatMap((one) => one?.history ?? []);
  table(found.head, tags);
  if (last) placeTimeline(last);
}

function table(head, tags) {
  const names = (id) =>
    tags.flatMap(({ tag, primary, candidates, shadows }) => [
      ...(primary === id ? [tag] : []),
      ...candidates.filter((one) => one.model === id).map((one) => `${tag} (candidate, ${percent(one.weight)})`),
      ...(shadows.includes(id) ? [`${tag} (shadow)`] : []),
    ]);
  redraw(byId("checkpoints").tBodies[0], [listed, head, tags], () =>
    listed.map((one) =>
      row(
        element("td", null, opener(one, brief(one.id), "link"), one.id === head ? " newest" : ""),
        moment(one.created_at),
        (one.why ?? one.damage ?? "").replaceAll(/sha256\.[0-9a-f]{64}/g, brief),
        num(count(one.examples)),
        num(number(one.average_loss)),
        names(one.id).join(", "),
        element("td", null, opener(one, "Open", "", `Open checkpoint ${brief(one.id)}`)),
      ),
    ),
  );
  redraw(byId("deploy-tags"), tags, () => tags.map(({ tag }) => element("option", { value: tag })));
}

const opener = (one, text, kind, label) =>
  element("button", { type: "button", class: kind, "aria-label": label, "data-id": one.id, on: { click: () => open(one) } }, text);

// Marks above the chart, at the places of its x axis. One that stays is moved, so that it can be clicked and keeps the focus.
export function placeTimeline(chart) {
  last = chart;
  const { min, max } = chart.scales.x;
  const ratio = devicePixelRatio || 1;
  const place = (at) => chart.valToPos(at, "x") + chart.bbox.left / ratio;
  const isSeen = ({ created_at, at = created_at }) => at >= min && at <= max;
  const marks = [
    ...listed.filter(isSeen).map((one) => ({ key: one.id, at: one.created_at, one, text: "", kind: one.id === status?.checkpoint ? "head" : "" })),
    ...deployed.filter(isSeen).map((entry) => ({ key: `${entry.number} ${entry.tag}`, at: entry.at, one: listed.find((some) => some.id === entry.primary), entry, text: "⚑", kind: "tag" })),
  ].sort((a, b) => a.at - b.at);
  const keys = new Set(marks.map(({ key }) => key));
  for (const [key, { button }] of pins) {
    if (keys.has(key)) continue;
    button.remove();
    pins.delete(key);
  }
  marks.forEach((mark, index) => pinned(mark, index, Math.round(place(mark.at))));
}

function pinned(mark, index, left) {
  const { key, at, one, entry, text, kind } = mark;
  const pin = pins.get(key) ?? { button: element("button", { type: "button", on: { click: () => pin.one && open(pin.one) } }, text) };
  pins.set(key, Object.assign(pin, { one }));
  const label = entry ? `${time(at)}: ${entry.action} ${entry.tag}, ${brief(entry.primary)}` : `${time(at)}: checkpoint ${brief(one.id)}, average loss ${number(one.average_loss)}`;
  for (const [name, value] of [["class", kind], ["title", label], ["aria-label", label]]) if (pin.button.getAttribute(name) !== value) pin.button.setAttribute(name, value);
  pin.button.disabled = !one;
  pin.button.style.left = `${left}px`;
  const there = byId("timeline").children[index] ?? null;
  if (there !== pin.button) byId("timeline").insertBefore(pin.button, there);
}

const facts = (list, entries) =>
  list.replaceChildren(...entries.map(([name, value]) => element("div", null, element("dt", null, name), element("dd", null, value))));

async function open(one) {
  chosen = one;
  say("checkpoint-title", `Checkpoint ${brief(one.id)}`);
  facts(byId("checkpoint-facts"), [
    ["Id", element("code", null, one.id)],
    ["Taken", `${moment(one.created_at)}, ${one.why ?? ""}`],
    ["Examples", `${count(one.examples)}, average loss ${number(one.average_loss)}`],
    ["Position", positions(one.position)],
  ]);
  byId("diff").replaceChildren();
  byId("diff-with").replaceChildren(...listed.filter((other) => other.id !== one.id).map((other) => element("option", { value: other.id }, `${brief(other.id)}, ${time(other.created_at)}`)));
  say("manifest", "…");
  byId("checkpoint").showModal();
  const told = await get(`/checkpoints/${one.id}`).then(({ manifest }) => JSON.stringify(manifest, null, 2), (error) => error.message);
  if (chosen === one) say("manifest", told);
}

const positions = (position) =>
  Object.entries(position ?? {}).map(([partition, offset]) => `${partition}:${offset}`).join(", ") || "the beginning";

byId("diff-form").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const box = byId("diff");
  box.replaceChildren("…");
  try {
    const other = listed.find((one) => one.id === byId("diff-with").value);
    const [before, after] = [other, chosen].sort((a, b) => a.created_at - b.created_at);
    const found = await get(`/checkpoints/${before.id}/diff/${after.id}`);
    const rows = ["settings", "data", "metrics", "weights"].flatMap((kind) => found[kind].map((change) => row(kind, change.what, shown(change.before, change.what), shown(change.after, change.what), num(number(change.by)))));
    const heads = ["", "what", `before (${brief(found.before)})`, `after (${brief(found.after)})`, "change"].map((text) => element("th", { scope: "col" }, text));
    box.replaceChildren(element("table", null, element("thead", null, element("tr", null, ...heads)), element("tbody", null, ...rows)), ...found.remarks.map((remark) => element("p", { class: "hint" }, remark)));
  } catch (error) {
    box.replaceChildren(error.message);
  }
});

const shown = (value, what) => (typeof value === "number" ? (what === "last event time" ? moment : number)(value) : value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value));

// What going back to the chosen one would mean, as far as the status that came last says it.
function foretell() {
  const since = Object.entries(status.position).map(([partition, offset]) => offset - (chosen.position?.[partition] ?? 0));
  const records = since.reduce((sum, number) => sum + Math.max(0, number), 0);
  say("rollback-what", `The live model becomes that of checkpoint ${brief(chosen.id)}: ${count(chosen.examples)} examples, average loss ${number(chosen.average_loss)}. A checkpoint that records it is taken; nothing is deleted, and it can be undone by rolling back to ${brief(status.checkpoint)}.`);
  say("rollback-skip", `is passed over: ${count(records)} records stay in the log, unlearnt; learning goes on from ${positions(status.position)}`);
  say("rollback-replay", `is learnt again: ${count(records)} records from ${positions(chosen.position)} on`);
}

byId("checkpoint-rollback").addEventListener("click", async () => {
  foretell();
  say("rollback-error", "");
  byId("rollback-why").value = "";
  byId("rollback").showModal();
  seen((await offered("/status").catch(() => null)) ?? status); // the last frame may be a second old
  foretell();
});

byId("rollback-form").addEventListener("submit", (submitted) =>
  doing(submitted, "rollback", async () => {
    const isReplayed = byId("rollback-form").elements.how.value === "replay";
    const before = status;
    const { id } = await post("/rollback", { id: chosen.id, replay: isReplayed, why: byId("rollback-why").value });
    return async () => {
      const again = isReplayed ? ` What came from ${positions(chosen.position)} on is learnt again.` : "";
      return `Rolled back, from ${before.model} (checkpoint ${brief(before.checkpoint)}) to the model of checkpoint ${brief(chosen.id)}, ${count(chosen.examples)} examples.${again} ${await leftOut(id)} Recorded as checkpoint ${brief(id)}; rolling back to ${brief(before.checkpoint)} undoes it.`;
    };
  }),
);

// Which offsets the model of a checkpoint has passed over, or will.
async function leftOut(id) {
  const found = await offered(`/checkpoints/${id}`).catch(() => null);
  if (!found) return "What is left out stands in the manifest.";
  const holes = [...found.manifest.holes, ...(found.manifest.except ?? [])];
  if (!holes.length) return "No record is left out.";
  const told = holes.slice(-MOST_HOLES).map(({ partition, first, last }) => `${partition}:${first} to ${partition}:${last - 1} (${count(last - first)} records)`);
  const more = holes.length > MOST_HOLES ? `, and ${count(holes.length - MOST_HOLES)} earlier ranges` : "";
  return `Left out of it: ${told.join(", ")}${more}.`;
}

byId("checkpoint-deploy").addEventListener("click", () => {
  say("deploy-what", `A tag's requests are answered by checkpoint ${brief(chosen.id)} from then on: ${count(chosen.examples)} examples, average loss ${number(chosen.average_loss)}. The live model goes on learning. “weir deploy -t TAG -b” takes it back.`);
  say("deploy-error", "");
  byId("deploy").showModal();
});

byId("deploy-form").addEventListener("submit", (submitted) =>
  doing(submitted, "deploy", async () => {
    const { tag, previous, primary } = await post(`/tags/${encodeURIComponent(byId("deploy-tag").value.trim())}`, { model: chosen.id, why: byId("deploy-why").value, who: "the page" });
    const from = previous ? `from ${brief(previous)} to ${brief(primary)}` : `${brief(primary)}, the first one`;
    return () => `Deployed under ${tag}: ${from}. The tag's requests are answered by it from now on.${previous ? ` “weir deploy -t ${tag} -b” takes it back.` : ""}`;
  }),
);

byId("take").addEventListener("click", async () => {
  byId("take").disabled = true;
  say("take-error", "");
  tell("");
  try {
    const before = status?.checkpoint;
    const { id } = await post("/checkpoints", "");
    tell(id === before ? `Nothing was learnt since checkpoint ${brief(id)}: it is still the newest.` : `Checkpoint ${brief(id)} is taken.`);
    await refresh();
  } catch (error) {
    say("take-error", error.message);
  }
  byId("take").disabled = false;
});

// The dialog stays open until it is done, and says what is wrong where it is not. `act` gives what then tells what was done.
async function doing(submitted, name, act) {
  submitted.preventDefault();
  const button = byId(`${name}-do`);
  button.disabled = true;
  tell("");
  try {
    const said = await act();
    byId(name).close();
    byId("checkpoint").close();
    tell(await said());
    seen(await get("/status"));
    await refresh();
  } catch (error) {
    say(`${name}-error`, error.message);
  }
  button.disabled = false;
}

// What was done, until it is dismissed or something else is done.
function tell(text) {
  say("done-says", text);
  byId("done").classList.toggle("told", text !== "");
}

byId("done-close").addEventListener("click", () => {
  tell("");
  byId("main").focus({ preventScroll: true });
});

// Time and average loss of those taken before a moment, oldest first.
const past = (before) =>
  listed.filter((one) => one.average_loss !== null && one.created_at !== null && one.created_at < before).map((one) => [one.created_at, one.average_loss]).sort((a, b) => a[0] - b[0]);

export const checkpoints = { past, refresh, seen };
