// A picture with boxes over it that are moved and resized. Boxes are [left, top, right, bottom] in
// pixels of the picture, whatever size it is shown at.

import { el } from "./dom.js";

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const SMALLEST_PX = 4; // on the screen, below which a drag is a click
const round = (edge) => Math.round(edge * 100) / 100;

export class Stage {
  constructor({ changed, drawn, removed, chosen }) {
    Object.assign(this, { changed, drawn, removed, chosen, objects: [], index: -1, isEditable: true });
    this.image = el("img", { alt: "", draggable: false });
    this.layer = el("div", { class: "stage-layer", role: "group", "aria-label": "Boxes on the picture" });
    this.node = el("div", { class: "editor-stage" }, el("div", { class: "stage-frame" }, this.image, this.layer));
    this.frame = this.node.firstChild;
    this.layer.addEventListener("pointerdown", (event) => this.#press(event));
    this.layer.addEventListener("keydown", (event) => this.#key(event));
    this.layer.addEventListener("focusin", (event) => {
      const index = Number(event.target.dataset.index ?? -1);
      if (index >= 0) this.mark(index);
    });
  }

  show(address, width, height, isEditable) {
    Object.assign(this, { width, height, isEditable, index: -1 });
    this.frame.style.setProperty("--ratio", width / height);
    this.layer.classList.toggle("fixed", !isEditable);
    this.image.removeAttribute("src");
    this.redraw(address);
  }

  redraw(address) {
    if (this.image.src !== address) this.image.src = address;
  }

  draw(objects) {
    this.objects = objects;
    const boxes = this.layer.querySelectorAll(".stage-box");
    if (boxes.length !== objects.length)
      this.layer.replaceChildren(
        ...objects.map((_, index) =>
          el("button", { type: "button", class: "stage-box", data: { index } }, el("span", { class: "box-name" }), HANDLES.map((side) => el("i", { data: { side } }))),
        ),
      );
    objects.forEach((object, index) => this.#place(index, object.box));
    this.mark(Math.min(this.index, objects.length - 1));
  }

  #place(index, box) {
    const node = this.layer.children[index];
    const { label, colour } = this.objects[index];
    const [left, top, right, bottom] = box;
    const size = ((right - left) * (bottom - top)) / (this.width * this.height);
    const set = {
      "--mark": colour,
      left: `${(left / this.width) * 100}%`,
      top: `${(top / this.height) * 100}%`,
      width: `${((right - left) / this.width) * 100}%`,
      height: `${((bottom - top) / this.height) * 100}%`,
      "z-index": String(1000 - Math.round(size * 900)), // small ones lie above
    };
    for (const [name, value] of Object.entries(set)) node.style.setProperty(name, value);
    node.classList.toggle("inside", top / this.height < 0.07);
    node.firstChild.textContent = label;
    const pixels = box.map((edge) => Math.round(edge)).join(", ");
    node.setAttribute("aria-label", `${label}, box ${index + 1}: ${pixels}`);
  }

  mark(index) {
    this.index = index;
    [...this.layer.children].forEach((node, at) => node.classList.toggle("chosen", at === index));
    this.chosen(index);
  }

  focus(index) {
    this.layer.children[index]?.focus({ preventScroll: true });
  }

  // -- by pointer

  #at(event) {
    const area = this.layer.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * this.width;
    const y = ((event.clientY - area.top) / area.height) * this.height;
    return [Math.min(Math.max(x, 0), this.width), Math.min(Math.max(y, 0), this.height)];
  }

  #press(event) {
    if (event.button !== 0 || !this.isEditable) return;
    event.preventDefault();
    if (this.cancel) {
      this.cancel(); // a second finger: what the first one did was no drag
      return;
    }
    const node = event.target.closest(".stage-box");
    const side = event.target.dataset.side ?? "";
    const start = this.#at(event);
    const index = node ? Number(node.dataset.index) : -1;
    const before = node ? [...this.objects[index].box] : [...start, ...start];
    let box = before;
    let sketch = null;
    if (node) this.focus(index);
    else {
      sketch = el("div", { class: "stage-sketch" });
      this.layer.append(sketch);
    }
    this.layer.setPointerCapture(event.pointerId);
    const move = (moved) => {
      if (moved.pointerId !== event.pointerId) return;
      const at = this.#at(moved);
      const by = [at[0] - start[0], at[1] - start[1]];
      box = node ? this.#moved(before, side, by) : this.#spanned(start, at);
      if (node) this.#place(index, box);
      else this.#sketch(sketch, box);
    };
    const scale = this.layer.getBoundingClientRect().width / this.width;
    const end = (ended) => {
      if (ended.pointerId !== event.pointerId) return;
      this.cancel = null;
      this.layer.removeEventListener("pointermove", move);
      this.layer.removeEventListener("pointerup", end);
      this.layer.removeEventListener("pointercancel", end);
      sketch?.remove();
      const isCancelled = ended.type === "pointercancel";
      if (node && isCancelled) this.#place(index, before);
      else if (node && String(box) !== String(before)) this.changed(index, box);
      else if (!node && !isCancelled && Math.min(box[2] - box[0], box[3] - box[1]) * scale >= SMALLEST_PX) this.drawn(box);
    };
    this.cancel = () => end({ type: "pointercancel", pointerId: event.pointerId });
    this.layer.addEventListener("pointermove", move);
    this.layer.addEventListener("pointerup", end);
    this.layer.addEventListener("pointercancel", end);
  }

  #spanned([x, y], [u, v]) {
    return [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)].map(round);
  }

  #sketch(node, [left, top, right, bottom]) {
    node.style.left = `${(left / this.width) * 100}%`;
    node.style.top = `${(top / this.height) * 100}%`;
    node.style.width = `${((right - left) / this.width) * 100}%`;
    node.style.height = `${((bottom - top) / this.height) * 100}%`;
  }

  // A box moved whole, or by the edges that `side` names; inside the picture, of a pixel at least.
  #moved([left, top, right, bottom], side, [x, y]) {
    if (!side) {
      const dx = Math.min(Math.max(x, -left), this.width - right);
      const dy = Math.min(Math.max(y, -top), this.height - bottom);
      return [left + dx, top + dy, right + dx, bottom + dy].map(round);
    }
    if (side.includes("w")) left = Math.min(Math.max(left + x, 0), right - 1);
    if (side.includes("e")) right = Math.max(Math.min(right + x, this.width), left + 1);
    if (side.includes("n")) top = Math.min(Math.max(top + y, 0), bottom - 1);
    if (side.includes("s")) bottom = Math.max(Math.min(bottom + y, this.height), top + 1);
    return [left, top, right, bottom].map(round);
  }

  // -- by keyboard

  #key(event) {
    const node = event.target.closest(".stage-box");
    if (!node || !this.isEditable || event.ctrlKey || event.metaKey) return;
    const index = Number(node.dataset.index);
    const step = Math.max(1, Math.round(Math.max(this.width, this.height) / (event.altKey ? 1000 : 100)));
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) {
      event.preventDefault();
      const box = this.#moved(this.objects[index].box, event.shiftKey ? "se" : "", way.map((each) => each * step));
      if (String(box) !== String(this.objects[index].box)) this.changed(index, box);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.removed(index);
    }
  }
}
