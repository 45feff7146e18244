// An event taken apart into its raw fields, and written again with other values. Knows how events are written, and no page.

// `fields`: what can be changed, each with its `name`, the `value` as a person types it, and the `field` that contributions
// name it by (null where it is no feature). `written` gives the event with some of them changed, by their place in `fields`.
const nothing = (remark) => ({ fields: [], written: () => "", remark });

export function taken(text, form) {
  if (form.format === "json") return ofJson(text, form);
  return form.format === "vw" ? ofLine(text) : ofRow(text, form);
}

// What a field becomes, by the schema.
function named(name, namespace, form) {
  const isKnown = Object.hasOwn(form.homes, name);
  const home = isKnown ? form.homes[name] : form.has_others ? { namespace: null, name } : null;
  if (!home) return null;
  const where = home.namespace ?? namespace;
  return where ? `${where}^${home.name}` : home.name;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function ofJson(text, form) {
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    return nothing("");
  }
  if (!isObject(event)) return nothing("");
  if ("actions" in event) return nothing("The values of several actions are changed in the event itself, above.");
  const root = (whole) => whole.features ?? whole;
  if (!isObject(root(event))) return nothing("");
  const paths = Object.entries(root(event)).flatMap(([name, value]) =>
    isObject(value) ? Object.entries(value).map(([inner, one]) => [[name, inner], one]) : [[[name], value]],
  );
  const fields = paths.map(([path, value]) => ({
    name: path.at(-1),
    field: named(path.at(-1), path.length > 1 ? path[0] : "", form),
    value: typeof value === "string" ? value : JSON.stringify(value),
  }));
  const written = (changes) => {
    const next = JSON.parse(text);
    for (const [index, typed] of changes) {
      const [path, value] = paths[index];
      const holder = path.length > 1 ? root(next)[path[0]] : root(next);
      holder[path.at(-1)] = typeof value === "string" ? typed : valueOf(typed);
    }
    return JSON.stringify(next, null, 1);
  };
  return { fields, written };
}

function valueOf(typed) {
  try {
    return JSON.parse(typed);
  } catch {
    return typed; // the service says what is wrong with it
  }
}

// Rows of CSV or TSV: one, or a header and one.
function ofRow(text, form) {
  const rows = rowsOf(text, form);
  const isHeader = rows.length === 2 && rows[0].join("\0") === form.columns.join("\0");
  const cells = rows.at(-1);
  if (rows.length !== (isHeader ? 2 : 1) || cells.length !== form.columns.length) return nothing("");
  const fields = cells.map((value, index) => ({ name: form.columns[index], field: named(form.columns[index], "", form), value }));
  const written = (changes) => {
    const changed = cells.map((cell, index) => changes.get(index) ?? cell);
    return [...rows.slice(0, -1), changed].map((row) => row.map((cell) => quoted(cell, form)).join(form.separator)).join("\n");
  };
  return { fields, written };
}

function rowsOf(text, { separator, quoting }) {
  const rows = [[""]];
  let isQuoted = false;
  const add = (char) => (rows.at(-1)[rows.at(-1).length - 1] += char);
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (isQuoted) {
      if (char !== '"') add(char);
      else if (text[at + 1] === '"') add(text[++at]);
      else isQuoted = false;
    } else if (quoting && char === '"' && rows.at(-1).at(-1) === "") isQuoted = true;
    else if (char === separator) rows.at(-1).push("");
    else if (char === "\n") rows.push([""]);
    else if (char !== "\r" || text[at + 1] !== "\n") add(char);
  }
  return rows;
}

function quoted(cell, { separator, quoting }) {
  if (![separator, "\n", "\r", ...(quoting ? ['"'] : [])].some((char) => cell.includes(char))) return cell;
  if (!quoting) throw new RangeError(`“${cell}” holds a separator or a line end, and there are no quotes in this format.`);
  return `"${cell.replaceAll('"', '""')}"`;
}

const escaped = (typed) => typed.replace(/[ \t\r\n|:]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
const unescaped = (text) => text.replace(/%(20|09|0D|0A|7C|3A|25|3D)/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));

// A line of VW text: of `name=value` the value can be changed, of `name:number` the number, of a word the word.
function ofLine(text) {
  if (text.includes("\n")) return nothing("The values of several lines are changed in the event itself, above.");
  const first = text.indexOf("|");
  if (first < 0) return nothing("");
  const fields = [];
  const places = [];
  let namespace = "";
  for (const found of text.slice(first).matchAll(/\|([^ \t\r|:]*)[^ \t\r|]*|[^ \t\r|]+/g)) {
    const [token, opened] = found;
    if (opened !== undefined) {
      namespace = opened;
      continue;
    }
    const [feature, ...number] = token.split(":");
    const [name, ...value] = feature.split("=");
    const [shown, before] = value.length ? [value.join("="), name.length + 1] : number.length ? [number.join(":"), feature.length + 1] : [name, 0];
    const start = first + found.index + before;
    places.push([start, start + shown.length]);
    const own = unescaped(name);
    fields.push({ name: own, field: namespace ? `${unescaped(namespace)}^${own}` : own, value: shown });
  }
  const written = (changes) =>
    [...changes].sort(([one], [other]) => other - one).reduce((line, [index, typed]) => line.slice(0, places[index][0]) + escaped(typed) + line.slice(places[index][1]), text);
  return { fields, written };
}
