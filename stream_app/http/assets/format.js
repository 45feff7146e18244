// Numbers, times and ids for people; and elements, made without any HTML from data.

const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const NONE = "–";

export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e12 || (size < 1e-6 && size > 0)) return value.toExponential(3);
  return size >= 1e4 || Number.isInteger(value) ? whole.format(value) : short.format(value);
}

export const count = (value) => (value === null || value === undefined ? NONE : whole.format(value));

export const fixed = (value, digits) => (value === null || value === undefined ? NONE : Math.abs(value) >= 1e9 ? number(value) : value.toFixed(digits));

export const percent = (value) => (value === null || value === undefined ? NONE : `${(100 * value).toFixed(1)} %`);

// From the size that is not yet the next unit's, and seconds in one.
const UNITS = [[1e-3, 1e-6, "µs"], [1, 1e-3, "ms"], [120, 1, "s"], [7200, 60, "min"], [172800, 3600, "h"], [730 * 86400, 86400, "d"], [Infinity, 365.25 * 86400, "y"]];

const tenths = (value) => value.toFixed(1);
const four = (value) => short.format(value);

export function seconds(value) {
  if (value === null || value === undefined) return NONE;
  const [, size, unit] = UNITS.find(([below]) => Math.abs(value) < below);
  return `${(size > 1 ? tenths : four)(value / size)} ${unit}`;
}

// The same in at most three digits, to stand at an axis.
export function briefSeconds(value) {
  const [, size, unit] = UNITS.find(([below]) => Math.abs(value) < below);
  const figure = value / size;
  return `${Math.abs(figure) < 99.5 ? Number(figure.toPrecision(2)) : whole.format(figure)} ${unit}`;
}

export function money(value, currency) {
  if (value === null || value === undefined) return NONE;
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, maximumFractionDigits: Math.abs(value) < 1000 ? 2 : 0 }).format(value);
  } catch {
    return `${whole.format(value)} ${currency}`;
  }
}

export const time = (unix) => (unix === null || unix === undefined ? NONE : clock.format(unix * 1000));

export const moment = (unix) => (unix === null || unix === undefined ? NONE : day.format(unix * 1000));

// The time zone that times are shown in: the browser's, with how far it is from UTC now.
export function zone() {
  const parts = (timeZoneName) => new Intl.DateTimeFormat("en", { timeZoneName }).formatToParts().find(({ type }) => type === "timeZoneName").value;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const offset = parts("shortOffset").replace("GMT", "UTC");
  return name === "UTC" || name === offset ? name : `${name}, ${offset}`;
}

export const brief = (id) => (id && id.startsWith("sha256.") ? id.slice(7, 19) : id ?? NONE);

export const byId = (id) => document.getElementById(id);

// An element: element("td", { class: "num" }, "text", child, ...)
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key === "on") for (const [event, heard] of Object.entries(value)) made.addEventListener(event, heard);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const row = (...cells) =>
  element("tr", null, ...cells.map((cell) => (cell instanceof Element ? cell : element("td", null, cell))));

export const num = (text) => element("td", { class: "num" }, text);

// Only what differs is written, so that nothing flickers, and screen readers are not told the same twice.
export function say(where, text) {
  const there = typeof where === "string" ? byId(where) : where;
  if (there.textContent !== text) there.textContent = text;
}

const drawn = new WeakMap();

// Replace what stands there, unless it was made from the same data. What has the keyboard's focus keeps it.
export function redraw(where, data, make) {
  const key = JSON.stringify(data);
  if (drawn.get(where) === key) return;
  drawn.set(where, key);
  const held = where.contains(document.activeElement) ? document.activeElement : null;
  where.replaceChildren(...make());
  if (held) [...where.querySelectorAll(held.tagName)].find((one) => one.dataset.id === held.dataset.id && one.className === held.className)?.focus({ preventScroll: true });
}

// Label and figure in a list of tiles; `good`, `warn` or `bad` may colour the figure.
export function tiles(list, entries) {
  redraw(list, entries, () =>
    entries.map(([label, figure, below, mood]) =>
      element("div", null, element("dt", null, label), element("dd", { class: mood }, figure, element("small", null, below ?? ""))),
    ),
  );
}

// A list of bars, the longest one full; a negative one in the other colour.
export function bars(list, entries, empty) {
  redraw(list, [entries, empty], () => {
    if (!entries.length) return [element("li", null, element("span", null, empty))];
    const longest = Math.max(...entries.map(([, size]) => Math.abs(size)), 1e-300);
    return entries.map(([label, size, said]) =>
      element("li", null, bar(Math.abs(size) / longest, size < 0), element("span", null, label), element("span", null, said)),
    );
  });
}

export const bar = (share, isNegative) =>
  element("meter", { min: 0, max: 1, value: share, class: isNegative ? "negative" : "", "aria-hidden": "true" });

// A bar from a zero line that all rows share: to the right above zero, to the left below it.
export const balance = (kind = "") =>
  element("span", { class: `balance ${kind}`, "aria-hidden": "true" }, element("meter", { min: 0, max: 1, class: "negative" }), element("meter", { min: 0, max: 1 }));

// `longest` is as long as a bar gets, of all rows; null where there is nothing to show.
export function weigh(bar, size, longest) {
  const [below, above] = bar.children;
  below.value = Math.max(-(size ?? 0), 0) / longest;
  above.value = Math.max(size ?? 0, 0) / longest;
  bar.classList.toggle("none", size === null);
}
