// One picture, large: its boxes are moved, resized, relabelled, deleted and added, with the mouse, a
// finger or the keyboard; its text is put right. Every change is kept at once.

import { el, labelled, notice } from "./dom.js";
import { pictureOf } from "./picture.js";
import { Stage } from "./stage.js";

const SOON_MS = 400;
const EDGES = ["Left", "Top", "Right", "Bottom"];
const round = (edge) => Math.round(edge * 100) / 100;

export class Editor {
  // `save(row, change)` keeps and returns the row, `step(row, by)` is another, `closed(row)` is told.
  constructor({ getId, save, step, closed }) {
    Object.assign(this, { getId, save, step, closed, row: null, objects: [], past: [], future: [], isDirty: false });
    const button = (text, onclick, more = {}) => el("button", { type: "button", class: "batch-small", onclick, ...more }, text);
    this.title = el("h2", { id: "editor-title" });
    this.prompt = el("code", {});
    this.stage = new Stage({
      changed: (index, box) => this.#change(() => (this.objects[index].box = box)),
      drawn: (box) => this.#add(box),
      removed: (index) => this.#remove(index),
      chosen: (index) => this.#highlight(index),
    });
    this.list = el("ol", { class: "editor-list", "aria-label": "Boxes" });
    this.newLabel = el("input", { type: "text", list: "batch-labels", maxLength: 200, autocomplete: "off" });
    this.text = el("textarea", { rows: 6, oninput: () => this.#later() });
    this.buttons = {
      add: button("Add a box", () => this.#add()),
      undo: button("Undo", () => this.#undo()),
      redo: button("Redo", () => this.#undo(true)),
      original: button("As answered", () => this.#reset()),
      previous: button("Previous", () => this.#step(-1)),
      next: button("Next", () => this.#step(1)),
      done: button("Done", () => this.close(), { class: "batch-main" }),
    };
    this.said = el("p", { class: "batch-hint", role: "status" });
    this.problem = el("div", { hidden: true, role: "alert" });
    const { add, undo, redo, original, previous, next, done } = this.buttons;
    this.boxesPart = el(
      "div",
      { class: "editor-boxes" },
      el("div", { class: "editor-new" }, labelled("Label of new boxes", this.newLabel), add),
      this.list,
      el("p", { class: "batch-hint" }, "Drag on the picture for a new box. Arrow keys move a chosen box, with Shift its right and lower edge; Delete takes it away."),
    );
    this.textPart = labelled("Answer", this.text);
    this.node = el(
      "dialog",
      { class: "batch-editor", "aria-labelledby": "editor-title" },
      el("header", {}, el("div", {}, this.title, this.prompt), done),
      el(
        "div",
        { class: "editor-body" },
        this.stage.node,
        el("div", { class: "editor-side" }, this.textPart, this.boxesPart),
      ),
      el("footer", { class: "batch-buttons" }, previous, next, undo, redo, original, el("div", { class: "editor-said" }, this.problem, this.said)),
    );
    this.node.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
    this.node.addEventListener("keydown", (event) => this.#key(event));
  }

  open(row) {
    this.#take(row);
    if (!this.node.open) this.node.showModal();
    this.buttons.done.focus();
  }

  // What cannot be kept is said, and closing again leaves it.
  async close() {
    if (!(await this.#keep()) && !this.wasWarned) {
      this.wasWarned = true;
      return;
    }
    this.node.close();
    this.closed(this.row);
  }

  #take(row) {
    Object.assign(this, { row, past: [], future: [], isDirty: false, wasWarned: false });
    this.objects = structuredClone(row.objects);
    this.title.textContent = row.image;
    this.prompt.textContent = row.prompt;
    this.text.value = row.text;
    this.boxesPart.hidden = !row.findsBoxes && !row.objects.length;
    this.textPart.hidden = row.findsBoxes;
    this.newLabel.value = row.objects[0]?.label ?? row.prompt.split(" ").slice(1).join(" ").split(/ ?[;,]/)[0];
    notice(this.problem, "");
    this.said.textContent = row.isCorrected ? "Corrected." : "";
    this.stage.show(pictureOf(this.getId(), row, true), row.width, row.height, !this.boxesPart.hidden);
    this.#draw();
  }

  // -- changes

  #state(hasText) {
    return JSON.stringify({ objects: this.objects, text: hasText ? this.text.value : undefined });
  }

  #change(make) {
    this.past.push(this.#state(false));
    this.future = [];
    make();
    this.#draw();
    this.#later();
  }

  #undo(isForward = false) {
    const [from, to] = isForward ? [this.future, this.past] : [this.past, this.future];
    if (!from.length) return;
    const isOnBox = this.stage.node.contains(document.activeElement) || this.list.contains(document.activeElement);
    const { objects, text } = JSON.parse(from.pop());
    to.push(this.#state(text !== undefined));
    this.objects = objects;
    if (text !== undefined) this.text.value = text;
    this.#draw();
    this.#later();
    // The boxes were made anew, or the button is off: keys go on to the editor all the same.
    const present = document.activeElement;
    if (isOnBox || present.disabled || !this.node.contains(present))
      if (objects.length) this.stage.focus(Math.max(0, this.stage.index));
      else this.buttons.add.focus();
  }

  #add(box) {
    const { width, height } = this.row;
    const middle = [width * 0.35, height * 0.35, width * 0.65, height * 0.65].map(round);
    const label = this.newLabel.value.trim() || "object";
    const known = this.objects.find((each) => each.label === label);
    this.#change(() => this.objects.push({ label, box: box ?? middle, confidence: null, hasMask: false, colour: known?.colour ?? "#ffffff" }));
    this.stage.focus(this.objects.length - 1);
  }

  #remove(index) {
    this.#change(() => this.objects.splice(index, 1));
    if (this.objects.length) this.stage.focus(Math.min(index, this.objects.length - 1));
    else this.buttons.add.focus();
  }

  async #reset() {
    clearTimeout(this.timer);
    this.past.push(this.#state(true));
    this.future = [];
    await this.#send({ asAnswered: true });
  }

  async #step(by) {
    if (!(await this.#keep())) return;
    const next = await this.step(this.row, by);
    if (next) this.#take(next);
    else this.said.textContent = by > 0 ? "This is the last one." : "This is the first one.";
  }

  // -- keeping

  #later() {
    this.isDirty = true;
    this.said.textContent = "";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#keep(), SOON_MS);
  }

  // Whether all that was changed is kept.
  async #keep() {
    clearTimeout(this.timer);
    if (this.sending) await this.sending;
    if (!this.isDirty) return true;
    const change = this.boxesPart.hidden ? {} : { objects: this.objects.map(({ label, box }) => ({ label, box_xyxy_px: box })) };
    if (!this.textPart.hidden) change.text = this.text.value;
    return this.#send(change);
  }

  async #send(change) {
    const { row } = this;
    this.isDirty = false;
    this.sending = this.save(row, change).then(
      (saved) => {
        if (this.row !== row) return true;
        this.row = saved;
        notice(this.problem, "");
        this.said.textContent = saved.isCorrected ? "Saved." : "As it was answered.";
        if (!this.isDirty) {
          this.objects = structuredClone(saved.objects);
          if (change.asAnswered) this.text.value = saved.text;
          this.stage.redraw(pictureOf(this.getId(), saved, true));
          this.#draw();
        }
        return true;
      },
      (error) => {
        this.isDirty = true;
        notice(this.problem, `${error.message} It is not saved.`);
        return false;
      },
    );
    const isKept = await this.sending;
    this.sending = null;
    return isKept;
  }

  // -- showing

  #draw() {
    this.stage.draw(this.objects);
    this.#drawList();
    this.buttons.undo.disabled = !this.past.length;
    this.buttons.redo.disabled = !this.future.length;
  }

  // The list is made anew only where their number changed: a field keeps its focus.
  #drawList() {
    if (this.list.children.length !== this.objects.length)
      this.list.replaceChildren(...this.objects.map((_, index) => this.#item(index)));
    this.objects.forEach((object, index) => {
      const item = this.list.children[index];
      item.style.setProperty("--mark", object.colour);
      const [label, ...edges] = item.querySelectorAll("input");
      const values = [object.label, ...object.box.map(round)];
      [label, ...edges].forEach((field, at) => {
        if (field !== document.activeElement && field.value !== String(values[at])) field.value = values[at];
      });
      const limits = [this.row.width, this.row.height];
      edges.forEach((field, at) => (field.max = limits[at % 2]));
      const sure = object.confidence === null ? "" : `${Math.round(object.confidence * 100)} %`;
      item.querySelector(".sure").textContent = [sure, object.hasMask ? "mask" : ""].filter(Boolean).join(", ");
    });
  }

  #item(index) {
    const label = el("input", {
      type: "text",
      list: "batch-labels",
      maxLength: 200,
      autocomplete: "off",
      "aria-label": `Label of box ${index + 1}`,
      onchange: () => this.#change(() => (this.objects[index].label = label.value)),
    });
    const edges = EDGES.map((name, at) => {
      const field = el("input", {
        type: "number",
        min: 0,
        step: 1,
        "aria-label": `${name} of box ${index + 1}, pixels`,
        onchange: () => this.#setEdge(index, at, field),
      });
      return el("label", {}, name, field);
    });
    const remove = el("button", { type: "button", class: "batch-remove", "aria-label": `Delete box ${index + 1}`, onclick: () => this.#remove(index) }, "×");
    const item = el("li", { class: "chip" }, label, el("span", { class: "sure" }), remove, el("div", { class: "edges" }, edges));
    item.addEventListener("focusin", () => this.stage.mark(index));
    return item;
  }

  #setEdge(index, at, field) {
    const box = [...this.objects[index].box];
    const limit = at % 2 ? this.row.height : this.row.width;
    const typed = Number(field.value);
    box[at] = round(Math.min(Math.max(typed, 0), limit));
    const isBox = field.value !== "" && Number.isFinite(typed) && box[2] - box[0] >= 1 && box[3] - box[1] >= 1;
    notice(this.problem, isBox ? "" : `${EDGES[at]} of box ${index + 1} cannot be ${field.value || "empty"}: left is less than right, and top less than bottom.`);
    if (isBox) this.#change(() => (this.objects[index].box = box));
    else field.value = this.objects[index].box[at];
  }

  #highlight(index) {
    [...this.list.children].forEach((item, at) => item.classList.toggle("chosen", at === index));
    this.list.children[index]?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const isTyping = event.target.matches("input, textarea");
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !isTyping) {
      event.preventDefault();
      this.#undo(event.shiftKey);
    } else if (event.ctrlKey && event.key.toLowerCase() === "y" && !isTyping) {
      event.preventDefault();
      this.#undo(true);
    }
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "PageDown" || event.key === "PageUp") {
      event.preventDefault();
      this.#step(event.key === "PageDown" ? 1 : -1);
    }
  }
}
