// The batches that this browser began and that are not shown: nothing else knows their ids.

import { el } from "./dom.js";

const KEPT = "paligemma-batches";
const MOST = 20;

export class Earlier {
  // `open(id)` shows one.
  constructor(storage, open) {
    Object.assign(this, { storage, open });
    this.list = el("ul", { class: "batch-earlier-list" });
    this.node = el(
      "section",
      { class: "batch-earlier", "aria-label": "Earlier batches", hidden: true },
      el("h2", { class: "section" }, "Earlier batches"),
      this.list,
    );
  }

  #read() {
    try {
      return JSON.parse(this.storage.getItem(KEPT) ?? "[]").filter(({ id, what }) => id && what);
    } catch (error) {
      console.info("The list of batches cannot be read:", error);
      return [];
    }
  }

  #write(batches) {
    this.storage.setItem(KEPT, JSON.stringify(batches.slice(0, MOST)));
  }

  // `run` is how it stands.
  remember(id, run) {
    const when = new Date().toLocaleString("en", { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
    const what = `${run.prompts.join(" · ")} (${run.pictures.toLocaleString("en")}), ${when}`;
    this.#write([{ id, what }, ...this.#read().filter((each) => each.id !== id)]);
  }

  forget(id) {
    this.#write(this.#read().filter((each) => each.id !== id));
  }

  show() {
    const batches = this.#read();
    this.node.hidden = !batches.length;
    this.list.replaceChildren(
      ...batches.map(({ id, what }) =>
        el("li", {}, el("button", { type: "button", class: "batch-small", "aria-label": `Show the batch ${what}`, onclick: () => this.open(id) }, what)),
      ),
    );
  }
}
