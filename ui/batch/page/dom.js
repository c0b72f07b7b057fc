// Elements made from plain values, and requests whose refusals are sentences.

export const el = (tag, given = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") for (const [key, set] of Object.entries(value)) node.style.setProperty(key, set);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !name.includes("-") && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((each) => each !== null && each !== undefined && each !== false));
  return node;
};

let count = 0;
export const fieldId = () => `batch-field-${(count += 1)}`;

// A control below its label.
export const labelled = (text, control, more = {}) => {
  control.id ||= fieldId();
  return el("div", { class: "batch-field", ...more }, el("label", { htmlFor: control.id }, text), control);
};

export const select = (choices, value, more = {}) => {
  const node = el("select", more, choices.map(([name, each]) => el("option", { value: each }, name)));
  if (value !== undefined) node.value = value;
  return node;
};

export const setChoices = (node, choices, value) => {
  const same = [...node.options].map((each) => [each.text, each.value]);
  if (JSON.stringify(same) !== JSON.stringify(choices))
    node.replaceChildren(...choices.map(([name, each]) => el("option", { value: each }, name)));
  if (value !== undefined) node.value = value;
};

export const plural = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export const notice = (node, text, kind = "error") => {
  node.className = text ? `notice notice-${kind}` : "";
  node.hidden = !text;
  if (node.textContent !== text) node.textContent = text;
};

export class Refusal extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

let root = "";
export const setRoot = (address) => (root = address);
export const address = (path) => root + path;

export const ask = async (path, { method = "GET", json, body } = {}) => {
  const options = { method, body };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers = { "content-type": "application/json" };
  }
  let reply;
  try {
    reply = await fetch(address(path), options);
  } catch (error) {
    console.info(path, error);
    throw new Refusal(0, "The server cannot be reached. Try again in a moment.");
  }
  const found = await reply.json().catch(() => null);
  if (!reply.ok) throw new Refusal(reply.status, found?.error ?? `The server said ${reply.status}.`);
  return found;
};

const speaker = el("div", { class: "only-read", "aria-live": "polite", id: "batch-said" });
document.body.append(speaker);
export const say = (text) => {
  speaker.textContent = text;
};
