// The tab Batch: one run at a time, found again by the id that this browser keeps.

import { ask, address, el, notice, plural, say, setRoot } from "./dom.js";
import { Earlier } from "./earlier.js";
import { Form } from "./form.js";
import { upload } from "./gather.js";
import { Results } from "./results.js";

const KEPT = "paligemma-batch";
// Where the browser denies storage, as to a page inside another one, the id is known until it is left.
const storage = (() => {
  try {
    return window.localStorage;
  } catch (error) {
    console.info("The batch is not kept in this browser:", error);
    return { getItem: () => null, setItem: () => {}, removeItem: () => {} };
  }
})();
const SOON_MS = 700, LATER_MS = 5000;
let tab = null;

export const open = async (root, base, asked) => {
  if (tab?.root === root) return;
  setRoot(base);
  const style = el("link", { rel: "stylesheet", href: address("files/batch.css") });
  const styled = new Promise((done, fail) => {
    style.onload = done;
    style.onerror = fail;
  });
  document.head.append(style);
  const [about] = await Promise.all([ask("about"), styled]);
  tab = new Tab(root, about, asked);
  await tab.recall();
};

class Tab {
  constructor(root, about, asked) {
    Object.assign(this, { root, about, asked, id: null, run: null, sending: null, stopping: false });
    const button = (text, onclick, more = {}) => el("button", { type: "button", onclick, ...more }, text);
    this.buttons = {
      run: button("Run", () => this.#start(), { class: "batch-main", id: "batch-run" }),
      resume: button("Resume", () => this.#act("resume"), { class: "batch-main", id: "batch-resume" }),
      stop: button("Stop", () => this.#stop(), { class: "batch-stop", id: "batch-stop" }),
      new: button("New batch", () => this.#forget(), { id: "batch-new" }),
      delete: button("Delete this one", () => this.#delete(), { id: "batch-delete" }),
    };
    this.form = new Form(about, asked);
    this.asking = el("section", { "aria-label": "What is asked" }, this.form.node);
    this.earlier = new Earlier(storage, (id) => this.#open(id));
    this.summary = el("p", { class: "batch-summary" });
    this.line = el("p", { class: "batch-line", id: "batch-line" });
    this.share = el("progress", { max: 1, value: 0, "aria-label": "Pictures done" });
    this.problem = el("div", { hidden: true, role: "alert", id: "batch-problem" });
    this.results = new Results(about, () => this.id);
    root.replaceChildren(
      el("p", { class: "about" }, "The same prompts about many pictures: look the answers through, put them right, and take them home."),
      this.asking,
      this.summary,
      el("div", { class: "batch-run-row" }, ...Object.values(this.buttons)),
      el("div", { class: "batch-progress" }, this.line, this.share),
      this.problem,
      this.earlier.node,
      this.results.node,
    );
    document.addEventListener("visibilitychange", () => document.hidden || this.#poll());
    this.#show();
  }

  // The run that this browser had, where it is still there.
  async recall() {
    this.id = storage.getItem(KEPT);
    if (this.id) await this.#poll();
  }

  async #open(id) {
    this.id = id;
    storage.setItem(KEPT, id);
    this.results.begin();
    await this.#poll();
    if (this.id) this.#focusFirst();
  }

  async #start() {
    if (this.sending) return;
    const found = this.form.found;
    if (!found) {
      this.form.complain("There are no pictures yet. Choose files, a folder or a ZIP archive.");
      return;
    }
    const signal = (this.sending = { stopped: false });
    this.#complain("");
    this.line.textContent = "Sending …";
    this.#show();
    this.buttons.stop.focus();
    let id = null;
    try {
      await this.form.check();
      id = (await ask("runs", { method: "POST", json: {} })).id;
      this.#tellSent(0, found.pictures.length);
      await upload(id, found, (sent, all) => this.#tellSent(sent, all), signal);
      if (signal.stopped) {
        await ask(`runs/${id}`, { method: "DELETE" });
        say("Stopped.");
      } else {
        this.run = await ask(`runs/${id}/start`, { method: "POST", json: this.form.values });
        this.id = id;
        storage.setItem(KEPT, id);
        this.earlier.remember(id, this.run);
        this.results.begin();
      }
    } catch (error) {
      if (id && !this.id) ask(`runs/${id}`, { method: "DELETE" }).catch(console.info);
      this.#complain(error.message);
    }
    this.sending = null;
    this.line.textContent = "";
    this.#show();
    if (this.id) await this.#poll();
    else this.buttons.run.focus();
  }

  #tellSent(sent, all) {
    this.line.textContent = all ? `Sending pictures: ${sent.toLocaleString("en")} of ${all.toLocaleString("en")}` : "Sending the archive …";
    this.share.value = all ? sent / all : 0;
  }

  async #stop() {
    if (this.sending) {
      this.sending.stopped = true;
      return;
    }
    this.line.textContent = "Stopping …";
    await this.#act("stop");
  }

  async #act(what) {
    this.#complain("");
    try {
      this.run = await ask(`runs/${this.id}/${what}`, { method: "POST", json: {} });
    } catch (error) {
      this.#complain(error.message);
    }
    await this.#poll();
    this.#focusFirst();
  }

  #forget() {
    storage.removeItem(KEPT);
    Object.assign(this, { id: null, run: null });
    this.#complain("");
    this.line.textContent = "";
    this.results.clear();
    this.#show();
    this.form.task.focus();
  }

  async #delete() {
    const { rows, corrected } = this.run;
    const lost = `${plural(rows, "row")}${corrected ? `, ${corrected} of them corrected by you,` : ""}`;
    if (!window.confirm(`Delete the pictures and ${lost} from the server?`)) return;
    try {
      await ask(`runs/${this.id}`, { method: "DELETE" });
      this.earlier.forget(this.id);
      this.#forget();
      say("Deleted.");
    } catch (error) {
      this.#complain(error.message);
    }
  }

  async #poll() {
    clearTimeout(this.later);
    const { id } = this;
    if (!id) return;
    const before = this.run?.state;
    try {
      const run = await ask(`runs/${id}`);
      if (id !== this.id) return;
      this.run = run;
      if (before && before !== run.state && run.state !== "running") say(run.line);
      if (this.wasLost) this.#complain("");
      this.wasLost = false;
      this.#show();
      await this.results.follow(run);
    } catch (error) {
      if (id !== this.id) return;
      if (error.status === 404) {
        this.earlier.forget(id);
        this.#forget();
        this.#complain(error.message);
        return;
      }
      this.wasLost = true;
      this.#complain(error.message);
    }
    const isAtWork = this.wasLost || ["waiting", "running"].includes(this.run?.state);
    clearTimeout(this.later);
    if (isAtWork) this.later = setTimeout(() => this.#poll(), document.hidden || this.wasLost ? LATER_MS : SOON_MS);
  }

  #complain(text) {
    notice(this.problem, text);
  }

  #show() {
    const { run, buttons } = this;
    const focused = Object.values(buttons).find((each) => each === document.activeElement);
    const state = this.sending ? "sending" : (run?.state ?? "new");
    const isAtWork = ["sending", "waiting", "running"].includes(state);
    const isBegun = Boolean(run) && state !== "new";
    this.root.dataset.state = state;
    // What was asked takes the form's place with the click, so that nothing moves later.
    this.asking.hidden = buttons.run.hidden = isBegun || isAtWork;
    buttons.stop.hidden = isBegun && !isAtWork;
    buttons.stop.disabled = !isAtWork;
    buttons.resume.hidden = !["stopped", "failed"].includes(state);
    buttons.new.hidden = buttons.delete.hidden = !isBegun || isAtWork;
    if (isBegun || isAtWork) this.earlier.node.hidden = true;
    else this.earlier.show();
    this.summary.hidden = !isBegun && !isAtWork;
    this.share.hidden = !isAtWork && state !== "stopped" && state !== "failed";
    if (state === "sending") {
      const { archive, pictures } = this.form.found;
      const { checkpoint, adapter } = this.form.values;
      this.#sum(this.form.sent.textContent, archive ? archive.name : plural(pictures.length, "picture"), checkpoint, adapter);
    } else if (isBegun) {
      const others = run.others ? `${plural(run.others, "other file")} left out` : "";
      this.#sum(run.prompts.join(" · "), plural(run.pictures, "picture"), run.checkpoint, run.adapter, others);
      this.line.textContent = run.line;
      this.share.value = run.share;
    }
    if (focused?.hidden) this.#focusFirst();
  }

  #focusFirst() {
    [this.buttons.stop, this.buttons.resume, this.buttons.new].find((each) => !each.hidden)?.focus();
  }

  #sum(prompts, pictures, checkpoint, adapter, others) {
    const parts = [pictures, checkpoint, adapter && `adapter ${adapter}`, others];
    this.summary.replaceChildren(el("code", {}, prompts), el("span", {}, parts.filter(Boolean).join(", ")));
  }
}
