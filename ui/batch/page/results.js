// The rows of a run: filters, a page of them at a time, corrections in place, exports.

import { ask, address, el, labelled, notice, plural, say, select, setChoices } from "./dom.js";
import { Editor } from "./editor.js";
import { pictureOf } from "./picture.js";

const KINDS = [
  ["All rows", ""],
  ["Failed", "failed"],
  ["Corrected", "corrected"],
  ["Not corrected", "untouched"],
  ["Nothing found", "empty"],
];
const SHOWN_OBJECTS = 12; // in a row; the others are in the editor

const percent = (share) => `${Math.round(share * 100)} %`;
export class Results {
  constructor(about, getId) {
    Object.assign(this, { about, getId, page: 0, pages: 1, rows: [], nodes: new Map(), known: null });
    this.saving = Promise.resolve();
    this.isPressed = false;
    document.addEventListener("pointerdown", () => (this.isPressed = true), true);
    for (const end of ["pointerup", "pointercancel", "dragend"])
      document.addEventListener(end, () => setTimeout(() => (this.isPressed = false)), true);
    this.label = select([["Any label", ""]], "");
    const sure = (value) => el("input", { type: "number", min: 0, max: 100, step: 1, value, inputMode: "numeric" });
    this.low = sure(0);
    this.high = sure(100);
    this.kind = select(KINDS, "");
    const filters = el(
      "div",
      { class: "batch-filters", role: "group", "aria-label": "Filters" },
      labelled("Show", this.kind),
      labelled("Label", this.label),
      labelled("Confidence from, %", this.low),
      labelled("to, %", this.high),
    );
    filters.addEventListener("change", () => this.#go());
    this.count = el("p", { class: "batch-count" });
    this.body = el("tbody");
    this.table = el(
      "table",
      { class: "batch-table" },
      el("caption", { class: "only-read" }, "Answers, a row a picture and prompt"),
      el("thead", {}, el("tr", {}, ...["Picture", "Name and prompt", "Answer"].map((each) => el("th", { scope: "col" }, each)))),
      this.body,
    );
    this.labels = el("datalist", { id: "batch-labels" });
    this.previous = el("button", { type: "button", class: "batch-small", onclick: () => this.#turn(-1) }, "Previous page");
    this.next = el("button", { type: "button", class: "batch-small", onclick: () => this.#turn(1) }, "Next page");
    this.where = el("span", {});
    this.pager = el("nav", { class: "batch-pager", "aria-label": "Pages of rows" }, this.previous, this.where, this.next);
    this.problem = el("div", { hidden: true, role: "alert" });
    this.editor = new Editor({
      getId,
      save: (row, change) => this.save(row, change),
      step: (row, by) => this.#step(row, by),
      closed: (row) => this.nodes.get(row.number)?.node.querySelector(".thumb")?.focus(),
    });
    this.node = el(
      "section",
      { class: "batch-results", "aria-label": "Results", hidden: true },
      this.#exports(),
      filters,
      this.count,
      this.problem,
      this.table,
      this.pager,
      this.labels,
      this.editor.node,
    );
  }

  #exports() {
    this.exportNote = el("div", { hidden: true, role: "status" });
    const buttons = this.about.formats.map(({ name, title, what }) =>
      el("button", { type: "button", class: "batch-small", title: what, data: { format: name }, onclick: (event) => this.#export(name, event.currentTarget) }, title),
    );
    return el(
      "section",
      { class: "batch-exports", "aria-label": "Exports" },
      el("h2", { class: "section" }, "Download as"),
      el("div", { class: "batch-buttons" }, ...buttons),
      this.exportNote,
    );
  }

  async #export(name, button) {
    if (button.getAttribute("aria-busy") === "true") return;
    const title = button.textContent;
    button.setAttribute("aria-busy", "true");
    notice(this.exportNote, `Writing ${title} …`, "info");
    try {
      const path = `runs/${this.getId()}/exports/${name}`;
      const { notes } = await ask(path, { method: "POST", json: {} });
      notice(this.exportNote, [`${title} is downloaded as batch-${name}.zip.`, ...notes].join(" "), "info");
      const link = el("a", { href: address(path), download: `batch-${name}.zip` });
      link.click();
    } catch (error) {
      notice(this.exportNote, error.message);
    }
    button.removeAttribute("aria-busy");
  }

  begin() {
    this.clear();
    this.node.hidden = false;
  }

  clear() {
    this.node.hidden = true;
    Object.assign(this, { page: 0, pages: 1, rows: [], known: null });
    this.nodes.clear();
    this.body.replaceChildren();
    this.kind.value = "";
    setChoices(this.label, [["Any label", ""]], "");
    [this.low.value, this.high.value] = [0, 100];
    notice(this.exportNote, "");
  }

  // The run has gone on: rows that came are shown where there is room for them.
  async follow(run) {
    this.node.hidden = run.state === "new";
    if (run.rows === this.known) return;
    this.known = run.rows;
    await this.#load(this.page ? { first: this.rows[0].number } : {});
  }

  async #go(place) {
    await this.#load(place, true);
    say(this.count.textContent);
  }

  // From the rows that are shown on, not to a page of that number: a row that was put right may no
  // longer be among those that are looked for, and none that comes after it is passed over.
  #turn(by) {
    return this.#go(by > 0 ? { first: this.rows.at(-1).number + 1 } : { before: this.rows[0].number });
  }

  async #load(place = {}, isOther = false) {
    const id = this.getId();
    const asked = new URLSearchParams({
      ...place,
      kind: this.kind.value,
      label: this.label.value,
      low: (Number(this.low.value) || 0) / 100,
      high: this.high.value === "" ? 1 : Number(this.high.value) / 100,
    });
    const turn = (this.turn = (this.turn ?? 0) + 1);
    try {
      const found = await ask(`runs/${id}/rows?${asked}`);
      if (turn !== this.turn || id !== this.getId()) return;
      notice(this.problem, "");
      this.#show(found, isOther && Boolean(place.first ?? place.before));
    } catch (error) {
      if (turn === this.turn && error.status !== 404) notice(this.problem, error.message);
    }
  }

  #show({ rows, found, page, pages, labels }, isOther) {
    Object.assign(this, { rows, page, pages });
    this.#showLabels(labels);
    const nodes = rows.map((row) => this.#nodeOf(row));
    this.nodes = new Map(rows.map((row, index) => [row.number, { row: JSON.stringify(row), node: nodes[index] }]));
    const present = [...this.body.children];
    const isLonger = present.length <= nodes.length && present.every((each, index) => each === nodes[index]);
    if (isLonger) this.body.append(...nodes.slice(present.length));
    else this.body.replaceChildren(...nodes);
    this.count.textContent = found ? plural(found, "row") : "No row is like this.";
    this.table.hidden = !rows.length;
    this.pager.hidden = pages < 2;
    this.where.textContent = `Page ${page + 1} of ${pages}`;
    this.previous.disabled = page === 0;
    this.next.disabled = page + 1 >= pages;
    if (isOther) this.table.scrollIntoView({ block: "start" });
  }

  #showLabels(labels) {
    const named = labels.map(({ name, count }) => [`${name} (${count.toLocaleString("en")})`, name]);
    setChoices(this.label, [["Any label", ""], ...named], this.label.value);
    this.labels.replaceChildren(...labels.map(({ name }) => el("option", { value: name })));
  }

  // The row's element as it is, where nothing changed or somebody writes in it.
  #nodeOf(row) {
    const before = this.nodes.get(row.number);
    if (before && (before.row === JSON.stringify(row) || before.node.contains(document.activeElement))) return before.node;
    return this.#make(row);
  }

  #make(row) {
    const name = el("th", { scope: "row" }, el("span", { class: "batch-name" }, row.image), el("code", {}, row.prompt));
    if (row.isCorrected) name.append(el("span", { class: "batch-mark" }, "corrected"));
    if (row.error)
      return el(
        "tr",
        { class: "failed", data: { row: row.number } },
        el("td", {}, el("div", { class: "no-picture" }, "No picture")),
        name,
        el("td", {}, el("p", { class: "batch-error" }, row.error)),
      );
    const note = el("div", { hidden: true, role: "alert" });
    const answer = el("td", {});
    const node = el("tr", { data: { row: row.number } }, el("td", {}, this.#thumb(row)), name, answer);
    if (row.findsBoxes || row.objects.length) answer.append(this.#objects(row, note));
    if (!row.findsBoxes) answer.append(this.#text(row, note));
    answer.append(note);
    for (const each of row.notes) answer.append(el("p", { class: "batch-hint" }, each));
    return node;
  }

  #thumb(row) {
    const boxes = row.objects.map(({ box: [left, top, right, bottom], colour }) =>
      el("span", {
        class: "mark-box",
        style: {
          "--mark": colour,
          left: `${(left / row.width) * 100}%`,
          top: `${(top / row.height) * 100}%`,
          width: `${((right - left) / row.width) * 100}%`,
          height: `${((bottom - top) / row.height) * 100}%`,
        },
      }),
    );
    const what = row.findsBoxes ? "Edit the boxes of" : "Enlarge";
    return el(
      "button",
      { type: "button", class: "thumb", "aria-label": `${what} ${row.image}, ${row.prompt}`, onclick: () => this.editor.open(this.#rowOf(row.number)) },
      el(
        "span",
        { class: "thumb-stage", style: { "--ratio": row.width / row.height } },
        el("img", { src: pictureOf(this.getId(), row, false), alt: "", loading: "lazy", decoding: "async" }),
        boxes,
      ),
    );
  }

  #objects(row, note) {
    // One after the other, each from what the one before has left.
    const change = (make) => {
      this.saving = this.saving.then(() => {
        const objects = this.#rowOf(row.number).objects.map(({ label, box }) => ({ label, box_xyxy_px: box }));
        return this.save(row, { objects: make(objects) }, note);
      });
    };
    const chips = row.objects.slice(0, SHOWN_OBJECTS).map((each, index) => {
      const label = el("input", {
        type: "text",
        value: each.label,
        list: "batch-labels",
        maxLength: 200,
        autocomplete: "off",
        size: Math.max(6, each.label.length + 1),
        "aria-label": `Label of box ${index + 1} of ${row.image}`,
        onchange: () => change((objects) => objects.with(index, { ...objects[index], label: label.value })),
        onkeydown: (event) => {
          if (event.key === "Escape") label.value = each.label;
        },
      });
      const remove = el(
        "button",
        {
          type: "button",
          class: "batch-remove",
          "aria-label": `Delete box ${index + 1}, ${each.label}, of ${row.image}`,
          onclick: () => change((objects) => objects.toSpliced(index, 1)),
        },
        "×",
      );
      const sure = each.confidence === null ? "" : percent(each.confidence);
      return el("li", { class: "chip", style: { "--mark": each.colour } }, label, el("span", { class: "sure" }, sure), remove);
    });
    const more = row.objects.length - chips.length;
    const list = el("ul", { class: "chips-list", "aria-label": `Boxes of ${row.image}` }, chips);
    if (!chips.length) list.append(el("li", { class: "batch-hint" }, "Nothing found"));
    if (more > 0) list.append(el("li", { class: "batch-hint" }, `and ${more} more`));
    const edit = el("button", { type: "button", class: "batch-small edit", "aria-label": `Edit boxes of ${row.image}, ${row.prompt}`, onclick: () => this.editor.open(this.#rowOf(row.number)) }, "Edit boxes");
    return el("div", { class: "batch-objects" }, list, edit);
  }

  #text(row, note) {
    const field = el("textarea", {
      rows: Math.min(8, Math.max(2, Math.ceil(row.text.length / 60))),
      value: row.text,
      "aria-label": `Answer about ${row.image} to ${row.prompt}`,
      onchange: () => this.save(row, { text: field.value }, note),
      onkeydown: (event) => {
        if (event.key === "Escape") field.value = row.text;
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
          const fields = [...this.body.querySelectorAll("textarea")];
          event.preventDefault();
          (fields[fields.indexOf(field) + 1] ?? field).focus();
        }
      },
    });
    return field;
  }

  #rowOf(number) {
    return this.rows.find((each) => each.number === number);
  }

  // Keep a correction; the row as it is then. What cannot be kept stays where it was typed.
  async save(row, change, note = null) {
    const place = this.nodes.get(row.number)?.node;
    const focused = place?.contains(document.activeElement) ? document.activeElement : null;
    const index = focused ? [...place.querySelectorAll("button, input, textarea")].indexOf(focused) : -1;
    try {
      const path = `runs/${this.getId()}/rows/${row.number}`;
      const { row: saved, labels } = await ask(path, { method: "POST", json: change });
      while (this.isPressed) await new Promise(requestAnimationFrame); // a click may be on its way
      this.#replace(saved, index);
      this.#showLabels(labels);
      if (note) say(saved.isCorrected ? "Saved." : "As it was answered.");
      return saved;
    } catch (error) {
      if (!note) throw error;
      notice(note, error.message);
      return null;
    }
  }

  #replace(saved, focusAt) {
    const present = this.nodes.get(saved.number);
    if (!present) return;
    this.rows = this.rows.map((each) => (each.number === saved.number ? saved : each));
    const node = this.#make(saved);
    const isStillThere = present.node.contains(document.activeElement);
    const now = isStillThere ? [...present.node.querySelectorAll("button, input, textarea")].indexOf(document.activeElement) : -1;
    present.node.replaceWith(node);
    this.nodes.set(saved.number, { row: JSON.stringify(saved), node });
    if (focusAt < 0 && now < 0) return;
    const fields = [...node.querySelectorAll("button, input, textarea")];
    (fields[now >= 0 ? now : focusAt] ?? fields.at(-1))?.focus();
  }

  // The row before or after one, also on the next page; null where there is none.
  async #step(row, by) {
    const there = () => this.rows.filter((each) => !each.error && (each.number - row.number) * by > 0);
    const hasMore = by > 0 ? this.page + 1 < this.pages : this.page > 0;
    if (!there().length && hasMore) await this.#turn(by);
    return (by > 0 ? there()[0] : there().at(-1)) ?? null;
  }
}
