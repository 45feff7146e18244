// Events that could not be learnt: why, where, and what they were.

import { byId, count, element, moment, redraw, say } from "./format.js";
import { get, Refused } from "./service.js";

const SHOWN = 20;

async function deadLetters(counted) {
  const box = byId("dead");
  const { kept, latest } = await get(`/dead-letters?limit=${SHOWN}`);
  if (!latest.length) {
    say("dead-says", "None.");
    redraw(box, latest, () => []);
    return;
  }
  const reasons = new Map();
  for (const one of latest) {
    const reason = one.reason.split(":")[0];
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  const isOpen = new Set([...box.querySelectorAll("details[open]")].map((one) => one.dataset.place));
  const by = [...reasons].map(([reason, times]) => `${reason} ${times}`).join(", ");
  say("dead-says", `${count(counted)} in what was learnt from, ${count(kept)} kept. Of the latest ${latest.length}: ${by}.`);
  redraw(box, latest, () =>
    latest.map((one) =>
      element(
        "details",
        { "data-place": place(one), open: isOpen.has(place(one)) },
        element("summary", { "data-id": place(one) }, `${place(one)} — ${one.reason}`),
        element("p", { class: "hint" }, `Met ${moment(one.seen_at)}.`),
        element("pre", { tabindex: 0, "data-id": place(one) }, one.payload ?? `(no UTF-8, as base64) ${one.payload_base64}`),
      ),
    ),
  );
}

const place = ({ partition, offset }) => `${partition}:${offset}`;

const safe = (counted) =>
  deadLetters(counted).catch((error) => {
    if (!(error instanceof Refused)) throw error;
    const isUntrusted = error.status === 401;
    if (isUntrusted) byId("token-open").hidden = false;
    say("dead-says", `${count(counted)} in all. ${isUntrusted ? "They tell features, so they need the token of the service: the button at the top." : error.message}`);
  });

export { safe as deadLetters };
